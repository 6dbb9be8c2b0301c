"""Bases: images of others that an image begins with, and what is to be known of their files."""
