"""Services: the programs that a manifest declares, started, checked, shared and stopped by a chamber."""
