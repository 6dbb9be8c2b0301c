"""The formats that Esker reads and writes: pure functions between text or bytes and frozen values."""
