"""Guix as a runtime: a manifest.scm gives the toolchain."""
