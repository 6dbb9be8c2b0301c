"""The packages of conda channels in the store: fetched and unpacked once, checked, and linked into one prefix."""
