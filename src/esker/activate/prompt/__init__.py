"""At every prompt: what a shell enters and leaves by itself as its directory and its projects change."""
