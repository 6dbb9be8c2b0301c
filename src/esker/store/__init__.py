"""The store: where store paths live, what keeps them there, and how the others are collected."""
