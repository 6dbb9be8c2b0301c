-- The seed looks items up by name.
CREATE INDEX items_by_name ON items (name);
