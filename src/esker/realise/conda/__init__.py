"""Conda packages in the store: each is one store path, and so is each prefix that is linked from them."""
