"""Registries: servers that keep images, asked by OCI's protocol."""
