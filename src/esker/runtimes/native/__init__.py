"""Esker's own runtime: lock, realise and activate, with no other tool."""
