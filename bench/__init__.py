"""The project's benchmarks: `python -m bench NAME` compares Esker with its peers, in one run on one machine."""
