"""Activation: which variables a realised environment changes, and how processes and shells get these changes."""
