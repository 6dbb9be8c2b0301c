"""The command line: parse, call, render; one module a stage, no logic."""
