"""Who shares a start of an environment, from the first process that activates it until the last has left."""
