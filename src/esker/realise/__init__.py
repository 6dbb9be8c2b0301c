"""A lock and a store make a closure: paths that are built once, kept valid, rooted and collected."""
