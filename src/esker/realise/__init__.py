"""Builds what a lock names: the store paths of the Python packages, and of the profile that an activation uses."""
