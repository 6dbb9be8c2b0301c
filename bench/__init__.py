"""The project's figures: `python -m bench NAME` measures Esker against its peers, in one run and on one machine."""
