"""Activation by Flox's own command."""
