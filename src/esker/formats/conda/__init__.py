"""The formats of conda packages and of what is said of them."""
