"""The configuration of an image as a document: what an engine is asked, which layers there are, how they came to be.

`config` has what the engine is asked, `rootfs.diff_ids` the digests of the layers before compression, `history` an
entry for each layer.

Specification: OCI image-spec v1.1, `config.md`. Oddities: `Healthcheck`, `Shell` and `OnBuild` are Docker's; an entry
of the history with `empty_layer` has no layer; a base may have fewer entries than layers, or none; times of a health
check are nanoseconds.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from esker.errors import Malformed
from esker.formats.oci.documents import Digest, canonical
from esker.formats.oci.platform import Platform
from esker.formats.untrusted import json_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from esker.formats.oci.configuration import Configuration, HealthCheck

__all__ = ["Config", "Step", "parse", "render", "time_text"]

_NANOSECONDS = 10**9
_LATEST = 253402300799
"""The last second of the year 9999."""


class Step(NamedTuple):
    """How a layer came to be, as the history says it."""

    created_by: str
    comment: str = ""


class Config(NamedTuple):
    """A configuration that has been read; untrusted."""

    platform: Platform
    settings: Mapping[str, Any]
    """What stands under `config`, in Docker's words; each value that Esker knows has the type that it must have."""
    diff_ids: tuple[str, ...]
    steps: tuple[Step, ...]
    """One for each layer."""
    document: Mapping[str, Any]
    """All of it."""

    @property
    def env(self) -> dict[str, str]:
        """The variables."""
        return dict(line.partition("=")[::2] for line in self.settings.get("Env") or ())


def time_text(seconds: int) -> str:
    """Return a time as documents have it; raises ValueError for one that is not in the years 1970 to 9999.

    >>> time_text(1)
    '1970-01-01T00:00:01Z'
    """
    if not 0 <= seconds <= _LATEST:
        raise ValueError(f"`{seconds}` is not a time in the years 1970 to 9999")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def render(
    configuration: Configuration,
    platform: Platform,
    layers: Sequence[tuple[str, Step]],
    *,
    created: int,
    base: Config | None = None,
) -> bytes:
    """Return the document of an image whose layers, above those of the base, have these digests and steps.

    What the configuration leaves empty is as the base has it. As in a Dockerfile, a new entry point does away with the
    base's command, and what the base has for builders (`OnBuild`) is left out. `created` is in seconds since the epoch.
    """
    time = time_text(created)
    value: dict[str, Any] = {
        "architecture": platform.architecture,
        "os": platform.os,
        "created": time,
        "config": _settings(configuration, base.settings if base else {}),
        "rootfs": {
            "type": "layers",
            "diff_ids": [*(base.diff_ids if base else ()), *(diff_id for diff_id, _ in layers)],
        },
        "history": [
            *(_history(base) if base else ()),
            *({"created": time, **_step(step)} for _, step in layers),
        ],
    }
    if platform.variant:
        value["variant"] = platform.variant
    return canonical(value)


def _step(step: Step) -> dict[str, str]:
    return {"created_by": step.created_by} | ({"comment": step.comment} if step.comment else {})


def _history(base: Config) -> Sequence[Mapping[str, Any]]:
    """Return the base's own history, or if it does not fit the layers, a plain entry for each."""
    history = base.document.get("history") or []
    if sum(not each.get("empty_layer") for each in history) == len(base.diff_ids):
        return list(history)
    return [{"created_by": "base"} for _ in base.diff_ids]


def _settings(configuration: Configuration, base: Mapping[str, Any]) -> dict[str, Any]:
    settings = {key: value for key, value in base.items() if key != "OnBuild"}
    if configuration.env:
        env = dict(line.partition("=")[::2] for line in base.get("Env") or ()) | dict(configuration.env)
        settings["Env"] = [f"{name}={value}" for name, value in env.items()]
    if configuration.entrypoint:
        settings.pop("Cmd", None)
    texts = {
        "Entrypoint": list(configuration.entrypoint),
        "Cmd": list(configuration.cmd),
        "User": configuration.user,
        "WorkingDir": configuration.working_dir,
        "StopSignal": configuration.stop_signal,
    }
    settings |= {key: value for key, value in texts.items() if value}
    for key, names in (("ExposedPorts", configuration.ports), ("Volumes", configuration.volumes)):
        if names:
            settings[key] = {**(base.get(key) or {}), **{name: {} for name in names}}
    if configuration.labels:
        settings["Labels"] = {**(base.get("Labels") or {}), **configuration.labels}
    if configuration.health_check:
        settings["Healthcheck"] = _health_check(configuration.health_check)
    return settings


def _health_check(check: HealthCheck) -> dict[str, Any]:
    times = {
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
    }
    written = {key: round(seconds * _NANOSECONDS) for key, seconds in times.items() if seconds}
    return {"Test": list(check.test), **written} | ({"Retries": check.retries} if check.retries else {})


_TEXTS, _TABLE = (list, str), (dict, object)
_SHAPES: Mapping[str, Any] = {
    "Env": _TEXTS,
    "Entrypoint": _TEXTS,
    "Cmd": _TEXTS,
    "User": str,
    "WorkingDir": str,
    "StopSignal": str,
    "ExposedPorts": _TABLE,
    "Volumes": _TABLE,
    "Labels": (dict, str),
}


def parse(data: bytes, name: str) -> Config:
    """Return what a configuration says; `name` is what messages call it. Raises Malformed."""
    try:
        value = json_value(data)
        platform = Platform(_text(value, "os"), _text(value, "architecture"), _text(value, "variant", missing=""))
        rootfs = value.get("rootfs")
        diff_ids = msgspec.convert(rootfs.get("diff_ids") if isinstance(rootfs, dict) else None, tuple[Digest, ...])
        settings = {} if value.get("config") is None else value["config"]
        history = [] if value.get("history") is None else value["history"]
        for shape, part in ((dict, settings), ((list, dict), history)):
            if not _fits(part, shape):
                raise ValueError(f"`{json.dumps(part)[:40]}` is not what it should be")  # noqa: TRY301
        for key, shape in _SHAPES.items():
            if settings.get(key) is not None and not _fits(settings[key], shape):
                raise ValueError(f"`{key}` is not of the right type")  # noqa: TRY301
    except (ValueError, AttributeError) as error:
        raise Malformed(f"{name} is no configuration of an image: {error}") from error
    made = [each for each in history if not each.get("empty_layer")]
    if len(made) != len(diff_ids):
        made = [{}] * len(diff_ids)
    steps = tuple(Step(str(each.get("created_by") or ""), str(each.get("comment") or "")) for each in made)
    return Config(platform, settings, diff_ids, steps, value)


def _text(value: Mapping[str, Any], key: str, *, missing: str | None = None) -> str:
    text = value.get(key, missing)
    if not isinstance(text, str):
        raise ValueError(f"`{key}` is missing or no text")  # noqa: TRY004  # the value is foreign
    if not text.isprintable():  # platforms are shown everywhere
        raise ValueError(f"`{key}` has control characters")
    return text


def _fits(value: object, shape: Any) -> bool:
    """Return whether a value has a type, or is a list or table of values of a type."""
    if not isinstance(shape, tuple):
        return isinstance(value, shape)
    outer, inner = shape
    if not isinstance(value, outer):
        return False
    return all(isinstance(each, inner) for each in (value.values() if isinstance(value, dict) else value))
