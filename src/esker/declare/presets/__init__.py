"""Services that one word adds to a project: `esker services add postgres`."""
