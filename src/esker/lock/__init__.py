"""The lock stage: which versions and hashes a declaration means, worked out once and read from then on."""
