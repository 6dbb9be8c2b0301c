"""The chamber that Flox plays: services that its command runs."""
