"""What the operating system offers: files, processes, ports, the clock, the network and other programs.

Nothing here knows of environments, locks or services; the other folders reach the machine mostly through this one.
"""
