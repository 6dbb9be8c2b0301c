"""CI workflows, written from a declaration, and what their jobs call."""
