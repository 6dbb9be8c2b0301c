"""Services in containers: what commands, and the supervisor, need to know of a Compose project and its engine."""
