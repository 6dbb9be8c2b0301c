"""The machine: files, processes, ports, the clock, the network and other programs. Only this folder touches them."""
