"""Items: a small API that keeps items in PostgreSQL and caches them in Valkey."""
