"""Conda packages: what people write of them, what a lock says of one, and what an unpacked one says of itself."""
