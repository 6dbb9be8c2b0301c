"""The only place that touches the machine: files, processes, ports, the clock, the network and other programs."""
