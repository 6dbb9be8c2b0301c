"""The supervised chamber: services as processes that a supervisor of our own runs."""
