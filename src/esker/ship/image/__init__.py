"""Images: units of files become layers, layers become an image, and images go into files, engines and registries."""
