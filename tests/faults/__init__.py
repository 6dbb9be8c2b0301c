"""Attacks on what Esker promises: kills, full disks, hostile files."""
