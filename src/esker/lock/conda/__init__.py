"""Locking the packages of conda channels, with rattler (the package `py-rattler`), which is imported only for that."""
