"""Virtual environments of Python: what one is on disk, making and filling it by uv, and the runtime of that name."""
