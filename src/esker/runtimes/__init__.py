"""The runtimes: the tools that can give a project its toolchain and variables, Esker's own among them."""
