"""The chamber beside the runtime: declared services, supervised, healthy, shared, and never left behind."""
