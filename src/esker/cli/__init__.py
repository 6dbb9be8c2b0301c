"""The command line: it parses arguments, calls the library and prints results, without logic of its own."""
