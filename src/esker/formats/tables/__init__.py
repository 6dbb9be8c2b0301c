"""Reading tables from TOML and JSON into typed values, with every problem and the line it stands on."""
