"""Reads tables from TOML and JSON into typed values, and reports every problem with its line."""
