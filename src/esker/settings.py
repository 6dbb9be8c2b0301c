"""The settings that come from the caller's variables and the machine, read once at the edge of the program.

Stages take this value instead of searching the environment themselves. It holds what a person or a script sets for
Esker (`ESKER_STORE`, `ESKER_PYTHON`, `ESKER_TRUST`, `ESKER_LARGEST_WHEEL`), where the user's files are, and the
variables for uv and interpreters.
Every activation needs this module, so it imports little more than `os` and `sys`.
"""

from __future__ import annotations

import os
import sys

from esker.formats.systems import system_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.host.interpreters import Interpreters
    from esker.progress import Progress

__all__ = ["LARGEST_WHEEL", "Settings"]

_ADDITIONAL_INDEXES = ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_FOR_TOOLS = (
    *_ADDITIONAL_INDEXES,
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX_STRATEGY",
    "UV_KEYRING_PROVIDER",
    "UV_CREDENTIALS_DIR",
    "UV_S3_ENDPOINT_URL",
    "UV_GCS_ENDPOINT_URL",
    "UV_AZURE_ENDPOINT_URL",
    "UV_INSECURE_HOST",
    "UV_SYSTEM_CERTS",
    "UV_NATIVE_TLS",
    "UV_HTTP_RETRIES",
    "UV_HTTP_TIMEOUT",
    "UV_HTTP_CONNECT_TIMEOUT",
    "UV_REQUEST_TIMEOUT",
    "UV_CACHE_DIR",
    "UV_NO_CACHE",
    "UV_OFFLINE",
    "UV_CONCURRENT_DOWNLOADS",
)
"""The variables of uv that we pass on to tools: they concern indexes, proxies, certificates, caches and downloads."""
_FOR_DOWNLOADS = ("UV_PYTHON_INSTALL_MIRROR", "UV_PYTHON_DOWNLOADS_JSON_URL", "UV_PYTHON_CACHE_DIR")
"""The variables of uv that say where Pythons are fetched from."""
_NO_DOWNLOADS = {
    "UV_PYTHON_DOWNLOADS": ("manual", "never", "false", "0"),
    "UV_NO_MANAGED_PYTHON": ("1", "true"),
    "UV_PYTHON_PREFERENCE": ("only-system",),
}
"""Variables of uv, and the values by which they forbid that a Python is fetched."""
_CREDENTIALS = ("_USERNAME", "_PASSWORD")
"""The ends of variables such as `UV_INDEX_NAME_USERNAME`: we pass the credentials of named indexes on as well."""
_STEERING = ("UV_", "PIP_", "VIRTUAL_ENV", "PYTHON", "CONDA_")
"""Prefixes of variables that change how tools work; tools get no such variable but those that we pass on."""
LARGEST_WHEEL = "8GB"
"""The default limit on the size of one package; the largest wheels that are in use unpack to 2 to 3 GB."""
_UNITS = {"MB": 10**6, "GB": 10**9}
_DIGITS = 9
_ROOTS = "/var/lib/esker"
"""The directory for root's own state if root's environment has another user's directories, as with sudo."""
_PLACES = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


class Settings:
    """The settings of one command or call; they never change."""

    __slots__ = (
        "_downloads",
        "_largest_wheel",
        "_places",
        "caller",
        "machine",
        "no_downloads",
        "python",
        "services_from",
        "store",
        "sudo_uid",
        "system",
        "tool_choice",
        "tool_refresh",
        "tools",
        "trusts_everything",
        "uid",
        "without_packages",
        "xdg_runtime_dir",
    )

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        trusts_everything: bool = False,
        without_packages: bool = False,
        python_downloads: bool = True,
        tool_choice: str = "",
        tool_refresh: bool = False,
    ) -> None:
        self.caller = environ
        """The caller's variables: Compose interpolates its files from them, and Nix and Guix run with them. Nothing
        else may look into them."""
        self.uid = os.geteuid()
        """The effective uid of this process."""
        self.machine = os.uname().machine
        self.system = system_name(sys.platform, self.machine)
        """The name of this machine's system, such as `x86_64-linux`."""
        self.store = environ.get("ESKER_STORE") or None
        """The store's directory, if ESKER_STORE names one."""
        self.python = environ.get("ESKER_PYTHON") or None
        """The interpreter, if ESKER_PYTHON names one."""
        self.services_from = environ.get("ESKER_SERVICES_FROM") or None
        """Which of two declarations of one service counts: that of `supervised` processes, or of `compose`."""
        self.trusts_everything = trusts_everything or environ.get("ESKER_TRUST") == "1"
        """Whether every project may run code, as is usual in continuous integration."""
        self.without_packages = without_packages
        """Whether the packages of `[install]` that are not on this machine are left out."""
        self.tool_choice = tool_choice
        """What this call asks of the tool that gives the toolchain, as `ToolChoice.text` says it."""
        self.tool_refresh = tool_refresh
        """Whether the tool is asked again, even if its last answer still holds."""
        self.sudo_uid = environ.get("SUDO_UID")
        """The uid of the user who called sudo, as sudo writes it."""
        self.xdg_runtime_dir = environ.get("XDG_RUNTIME_DIR")
        self.tools = _for_tools(environ)
        """The variables that uv and interpreters get."""
        self._largest_wheel = environ.get("ESKER_LARGEST_WHEEL")
        forbidding = (name for name, values in _NO_DOWNLOADS.items() if environ.get(name, "").lower() in values)
        self.no_downloads = next(forbidding, None) if python_downloads else "--no-python-downloads"
        """What forbids that a Python is fetched: a variable or an option; None if nothing does."""
        self._downloads = {
            name: environ[name] for name in (*_FOR_DOWNLOADS, "UV_PYTHON_INSTALL_DIR") if environ.get(name)
        }
        self._places = {name: environ[name] for name in _PLACES if name in environ}

    @property
    def choices(self) -> dict[str, str]:
        """The values that decide how an environment is made: its store and interpreter, and whether packages may lack.

        They include the machine's architecture, because several machines may share one home directory.
        """
        without = "without" if self.without_packages else None
        named = {"ESKER_STORE": self.store, "ESKER_PYTHON": self.python, "packages": without, "tool": self.tool_choice}
        return {"machine": self.machine, **{name: value for name, value in named.items() if value}}

    @property
    def indexes(self) -> tuple[str, ...]:
        """The indexes that variables add to the default one, without credentials, in the order in which uv asks."""
        words = [word for name in _ADDITIONAL_INDEXES for word in self.tools.get(name, "").replace(",", " ").split()]
        if not words:
            return ()
        from esker.formats.urls import redact

        return tuple(map(redact, words))

    @property
    def largest_wheel(self) -> int:
        """The bytes that one package may have, fetched or unpacked; raises UsageError if the variable is no size."""
        text = self._largest_wheel or LARGEST_WHEEL
        number, unit = text[:-2].strip(), text[-2:].upper()
        if unit not in _UNITS or not number.isascii() or not number.isdecimal() or len(number) > _DIGITS:
            from esker.errors import UsageError

            raise UsageError(
                f"ESKER_LARGEST_WHEEL is `{text}`, which is not a size", hint="write a whole number with MB or GB: 20GB"
            )
        return int(number) * _UNITS[unit]

    @property
    def home(self) -> str:
        """The user's home directory: HOME if that is an absolute path, else the one in the user database."""
        from esker.host import accounts

        return accounts.home(self._places)

    @property
    def config_home(self) -> str:
        """The directory for this user's configuration files."""
        from esker.host import places

        return places.config(self._places) or f"{self.home}/.config"

    @property
    def data_home(self) -> str:
        """The directory for data that programs keep for this user."""
        from esker.host import places

        return places.data(self._places) or f"{self.home}/.local/share"

    @property
    def state_home(self) -> str | None:
        """The directory for state that programs keep between runs; None if neither variables nor database give one."""
        from esker.host import places

        return places.state(self._places) or places.state({}, self._recorded_home)

    @property
    def own_state(self) -> str | None:
        """The directory of what Esker itself keeps for this user between runs; None if the variables give no place."""
        state = self.state_home
        if state is None:
            return None
        home = self._places.get("HOME", "")
        if self.uid == 0 and not (_is_ours(state) and _is_ours(home if os.path.isabs(home) else self.home)):
            # With sudo, the directory may be another user's. This user could redirect root with links, and could not
            # use files that root has made there.
            return _ROOTS
        return f"{state}/esker"

    @property
    def _recorded_home(self) -> str | None:
        """The home directory that the user database has for `uid`: what counts without a usable HOME."""
        from esker.host import accounts

        return accounts.find_home(self.uid)

    @property
    def store_root(self) -> str:
        """The directory of this user's store; raises StoreError when the variables do not determine one."""
        from esker.errors import StoreError
        from esker.host import places

        if self.store is not None:
            if not os.path.isabs(self.store):
                raise StoreError(f"ESKER_STORE is `{self.store}`, which is not absolute", hint="begin it with `/`")
            return self.store
        if self.uid == 0:
            return "/var/lib/esker/root"
        data = places.data(self._places) or places.data({}, self._recorded_home)
        if data is None:
            raise StoreError("there is no place for the store: HOME is not set", hint="set HOME or ESKER_STORE")
        return f"{data}/esker/root"

    @property
    def python_directory(self) -> str:
        """The directory of the Pythons that uv fetches: uv's own, but for root one that other users can enter."""
        named = self._downloads.get("UV_PYTHON_INSTALL_DIR", "")
        if os.path.isabs(named):
            return named
        return "/var/lib/esker/python" if self.uid == 0 else f"{self.data_home}/uv/python"

    def interpreters(self, fetching: Progress | None = None) -> Interpreters:
        """Return the interpreters of this machine, each of which is asked once for what it is.

        With `fetching`, which hears of it, a Python that is missing may be fetched, unless the caller has forbidden it.
        """
        from esker.host.interpreters import Interpreters

        directory, downloads, remedy = self.python_directory, None, ""
        if self.no_downloads is not None:
            remedy = f"or let Esker fetch it, which `{self.no_downloads}` forbids now"
        elif fetching is None:
            remedy = "or have it fetched: esker activate -- true"
        else:
            from esker.host.python_downloads import PythonDownloads

            sources = {name: self._downloads[name] for name in _FOR_DOWNLOADS if name in self._downloads}
            downloads = PythonDownloads(directory, self.tools | sources, fetching, shared=self.uid == 0)
        return Interpreters(self.tools, self.python, directory=directory, downloads=downloads, remedy=remedy)


def _is_ours(directory: str) -> bool:
    """Return whether a directory, or the nearest existing one above it, belongs to this user."""
    while not os.path.lexists(directory):
        directory = os.path.dirname(directory)
    return os.stat(directory).st_uid == os.geteuid()


def _for_tools(environ: Mapping[str, str]) -> dict[str, str]:
    harmless = {name: value for name, value in environ.items() if not name.startswith(_STEERING)}
    credentials = [name for name in environ if name.startswith("UV_INDEX_") and name.endswith(_CREDENTIALS)]
    return harmless | {name: environ[name] for name in (*_FOR_TOOLS, *credentials) if environ.get(name)}
