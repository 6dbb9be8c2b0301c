"""The shells that can be activated, with one module for each."""
