"""The lock: which versions and hashes the declaration means, made once, read ever after."""
