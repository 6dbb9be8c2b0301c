"""What the developer wrote, found, read, checked and edited: from a directory to a `Declaration`."""
