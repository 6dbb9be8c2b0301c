"""What an image takes from addresses: git trees, npm packages and files, each pinned in the lock of the image."""
