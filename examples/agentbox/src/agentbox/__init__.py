"""What the containers of agentbox do themselves: prepare their directories, and say how they are."""
