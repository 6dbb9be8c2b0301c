"""A Docker engine of the tests' own, with images named like public ones, all from Debian's packages."""
