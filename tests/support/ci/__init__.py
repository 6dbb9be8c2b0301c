"""What runs workflows in tests: the hosts' stand-ins, the image of their machines, and the actions of others."""
