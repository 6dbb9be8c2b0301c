"""What an image holds: packages, the C library, the project's files, variables, and what a container starts with."""
