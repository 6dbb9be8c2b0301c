"""Starts of environments: several processes share one start, from the first that activates until the last leaves."""
