"""Formats of npm: names of packages, integrities, configuration files and locks."""
