"""What leaves the machine: images, CI workflows, deployments."""
