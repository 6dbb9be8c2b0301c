"""The shells that an activation can reach: a module a shell."""
