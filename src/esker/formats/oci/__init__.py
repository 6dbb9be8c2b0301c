"""OCI images: the documents that describe them, the archives that are their layers, and the names they have."""
