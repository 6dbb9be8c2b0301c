"""The store: where store paths live, what keeps them from being collected, and how the rest are collected."""
