"""The tools that can give a project its runtime, each a module from a project directory to an activation plan."""
