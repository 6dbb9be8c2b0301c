"""Items: a small API on PostgreSQL, read through a Valkey cache."""
