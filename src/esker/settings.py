"""What the caller's variables and the machine decide for every stage, worked out once at the edge.

Stages take this value, never a whole environment to look into. What a person or a script sets for Esker itself
(`ESKER_STORE`, `ESKER_PYTHON`, `ESKER_TRUST`), where files of a user lie, and what passes on to uv and interpreters is
all there is. On the path of every activation: nothing is imported but `os` and `sys`.
"""

from __future__ import annotations

import os
import sys

from esker.formats.systems import system_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.host.interpreters import Interpreters

__all__ = ["Settings"]

_ADDITIONAL_INDEXES = ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_FOR_TOOLS = (
    *_ADDITIONAL_INDEXES,
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX_STRATEGY",
    "UV_KEYRING_PROVIDER",
    "UV_INSECURE_HOST",
    "UV_SYSTEM_CERTS",
    "UV_NATIVE_TLS",
    "UV_HTTP_RETRIES",
    "UV_HTTP_TIMEOUT",
    "UV_CACHE_DIR",
    "UV_NO_CACHE",
    "UV_OFFLINE",
    "UV_CONCURRENT_DOWNLOADS",
)
"""The variables of uv that tools get: they name an index, a proxy, a certificate or a cache."""
_STEERING = ("UV_", "PIP_", "VIRTUAL_ENV", "PYTHON", "CONDA_")
"""How the names of variables begin that would steer tools otherwise; tools get none of the others."""
_PLACES = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


class Settings:
    """The settings of one command or call; never changed once made."""

    __slots__ = (
        "_places",
        "machine",
        "python",
        "store",
        "sudo_uid",
        "system",
        "tools",
        "trusts_everything",
        "uid",
        "xdg_runtime_dir",
    )

    def __init__(self, environ: Mapping[str, str], *, trusts_everything: bool = False) -> None:
        self.uid = os.geteuid()
        """The effective uid of this process."""
        self.machine = os.uname().machine
        self.system = system_name(sys.platform, self.machine)
        """The name of this machine's system, such as `x86_64-linux`."""
        self.store = environ.get("ESKER_STORE") or None
        """The store's directory, where ESKER_STORE names one."""
        self.python = environ.get("ESKER_PYTHON") or None
        """The interpreter that ESKER_PYTHON names."""
        self.trusts_everything = trusts_everything or environ.get("ESKER_TRUST") == "1"
        """Whether every project may run code, as on machines of continuous integration."""
        self.sudo_uid = environ.get("SUDO_UID")
        """The uid of the user who called sudo, as sudo writes it."""
        self.xdg_runtime_dir = environ.get("XDG_RUNTIME_DIR")
        self.tools = _for_tools(environ)
        """The variables that uv and interpreters get."""
        self._places = {name: environ[name] for name in _PLACES if name in environ}

    @property
    def choices(self) -> dict[str, str]:
        """What decides which store and interpreter an environment is made with.

        The kind of machine is part of it, because many machines may share a home.
        """
        named = {"ESKER_STORE": self.store, "ESKER_PYTHON": self.python}
        return {"machine": self.machine, **{name: value for name, value in named.items() if value}}

    @property
    def indexes(self) -> tuple[str, ...]:
        """The indexes that this machine adds to the default one, without credentials, in the order uv asks them."""
        words = [word for name in _ADDITIONAL_INDEXES for word in self.tools.get(name, "").replace(",", " ").split()]
        if not words:
            return ()
        from esker.formats.urls import redact

        return tuple(map(redact, words))

    @property
    def home(self) -> str:
        """The user's home directory: HOME, or where that is no absolute path, the one that the machine knows."""
        from esker.host import accounts

        return accounts.home(self._places)

    @property
    def config_home(self) -> str:
        """The directory of what this user configures."""
        from esker.host import places

        return places.config(self._places) or f"{self.home}/.config"

    @property
    def data_home(self) -> str:
        """The directory of what programs keep for this user."""
        from esker.host import places

        return places.data(self._places) or f"{self.home}/.local/share"

    @property
    def state_home(self) -> str | None:
        """The directory of what programs remember between runs; None where neither HOME nor XDG_STATE_HOME says."""
        from esker.host import places

        return places.state(self._places)

    @property
    def store_root(self) -> str:
        """The directory of this user's store; raises StoreError where none can be said."""
        from esker.errors import StoreError
        from esker.host import places

        if self.store is not None:
            if not os.path.isabs(self.store):
                raise StoreError(f"ESKER_STORE is `{self.store}`, which is not absolute", hint="begin it with `/`")
            return self.store
        if self.uid == 0:
            return "/var/lib/esker/root"
        data = places.data(self._places)
        if data is None:
            raise StoreError("there is no place for the store: HOME is not set", hint="set HOME or ESKER_STORE")
        return f"{data}/esker/root"

    def interpreters(self) -> Interpreters:
        """Return the interpreters of this machine, each of which is asked once for what it is."""
        from esker.host.interpreters import Interpreters

        return Interpreters(self.tools, self.python)


def _for_tools(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if not name.startswith(_STEERING)}
    return kept | {name: environ[name] for name in _FOR_TOOLS if environ.get(name)}
