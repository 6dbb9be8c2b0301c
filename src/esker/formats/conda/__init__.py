"""Conda packages: what a lock says of one, and what an unpacked one says of itself in `info/`."""
