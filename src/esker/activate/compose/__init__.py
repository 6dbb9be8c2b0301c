"""The Compose files of a project: which they are, what Compose says of them, and the ports that Esker adds."""
