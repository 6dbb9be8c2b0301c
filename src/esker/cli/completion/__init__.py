"""Completion of `esker` command lines in bash, zsh and fish, by scripts that start no Python."""
