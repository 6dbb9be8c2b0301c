"""Which environments this process has active: one set of variables, shared by all its threads.

While a thread has an environment active, others may activate the same one, but no other: what a program finds in its
variables would otherwise depend on when it looked.
"""

import threading
from typing import TYPE_CHECKING

from esker.activate import edits
from esker.errors import EnvironmentBusy
from esker.host import variables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from esker.activate.variables import Activation

__all__ = ["PROCESS", "Active"]


class Active:
    """The active environments, each under a key that begins with its project directory, then a NUL.

    Everything but `lock` is read and changed under it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.edits = edits.Edits()
        self.holders: dict[str, list[threading.Thread]] = {}
        """For each active environment's key, who has activated it, once for each time."""

    def check(self, key: str) -> None:
        """Raise EnvironmentBusy when another thread has another environment active."""
        thread = threading.current_thread()
        for other, holders in self.holders.items():
            for holder in holders:
                if other != key and holder is not thread:
                    project = other.partition("\0")[0]
                    raise EnvironmentBusy(
                        f"thread `{holder.name}` has `{project}` active",
                        hint="a process has one set of variables: use `run` or `variables`, which set none",
                    )

    def enter(self, key: str, activate: "Callable[[Mapping[str, str]], Activation]") -> None:
        """Activate an environment; `activate` is called for the first holder, with the variables as they are."""
        self.check(key)
        if key not in self.holders:
            environ = variables.current()
            entered, changes = edits.enter(self.edits, key, activate(environ), environ)
            variables.assign(changes)
            self.edits, self.holders[key] = entered, []
        self.holders[key].append(threading.current_thread())

    def leave(self, key: str) -> bool:
        """Undo one `enter`, and return whether that was the last one's."""
        thread, holders = threading.current_thread(), self.holders[key]
        if len(holders) > 1:
            holders.remove(thread if thread in holders else holders[-1])
            return False
        left, changes = edits.leave(self.edits, key, variables.current())
        variables.assign(changes)
        self.edits = left
        del self.holders[key]
        return True


PROCESS = Active()
