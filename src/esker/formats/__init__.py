"""The formats that Esker reads and writes: pure functions that turn text or bytes into frozen values, and back."""
