"""What a new environment takes from files that the project has already: a module for each kind of file.

Each reader is a function from the text of a file to what it declares (`Found`), and to what has no place in a manifest.
`found_in` reads the project's files, and `joined` decides between files that say the same.
"""

from __future__ import annotations

from esker.declare.adopt.joined import MOST_TOLD, Adopted, joined
from esker.declare.adopt.project_files import found_in
from esker.declare.adopt.written import conda_table, python_table, service_lines, systems_line, variable_lines

__all__ = [
    "MOST_TOLD",
    "Adopted",
    "conda_table",
    "found_in",
    "joined",
    "python_table",
    "service_lines",
    "systems_line",
    "variable_lines",
]
