"""How layers are compressed. The same archive must come out as the same bytes on every machine.

gzip is made by zlib-ng at level 1, which gives the same bytes on every processor. isal is faster, but its bytes depend
on the processor: they differ between x86 with and without SSE 4.2, and again on ARM (decision 45). zstd's bytes depend
on its version alone. The version of the library is part of a layer's key, because another one may pack otherwise.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol

from esker.errors import HostError, ImageError
from esker.formats.oci.documents import LAYER
from esker.host.extras import how_to_install

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CODECS", "Codec", "codec"]

CODECS = ("gzip", "zstd", "none")
"""The names of all codecs, the usual one first."""
_GZIP_LEVEL, _ZSTD_LEVEL = 1, 3
_GZIP_WINDOW = 31
"""zlib's word for a window of 32 KiB and the wrapper of gzip, in which it writes no time."""


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes:
        """Return what there is to write after `data`."""

    def flush(self) -> bytes:
        """Return the rest."""


class Codec(NamedTuple):
    """A way to compress."""

    name: str
    identity: str
    """What the bytes depend on: the library with its version, and the level."""
    media_type: str
    compressor: Callable[[], _Compressor]
    """Makes a compressor for one archive."""


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def codec(name: str) -> Codec:
    """Return the codec of a name; raises HostError if its library is not installed, and ImageError for another name."""
    if name == "gzip":
        return _gzip()
    if name == "zstd":
        return _zstd()
    if name == "none":
        return Codec(name, name, LAYER, _Plain)
    raise ImageError(f"layers cannot be compressed by `{name}`", hint=f"the codecs are {', '.join(CODECS)}")


def _gzip() -> Codec:
    try:
        from zlib_ng import zlib_ng
    except ImportError as error:
        raise _missing("gzip", "zlib-ng") from error
    return Codec(
        "gzip",
        f"zlib-ng {zlib_ng.ZLIBNG_VERSION} level {_GZIP_LEVEL}",
        f"{LAYER}+gzip",
        lambda: zlib_ng.compressobj(_GZIP_LEVEL, zlib_ng.DEFLATED, _GZIP_WINDOW),
    )


def _zstd() -> Codec:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        raise _missing("zstd", "backports.zstd") from error
    return Codec(
        "zstd",
        f"zstd {zstd.zstd_version} level {_ZSTD_LEVEL}",
        f"{LAYER}+zstd",
        lambda: zstd.ZstdCompressor(level=_ZSTD_LEVEL),
    )


def _missing(name: str, package: str) -> HostError:
    return HostError(
        f"layers cannot be compressed by {name}: `{package}` is not installed",
        hint=how_to_install("image"),
    )
