"""What tests of Esker, and tests of projects that use it, take from it: fakes of the services it talks to."""
