"""The Flox chamber: services that the `flox` command runs."""
