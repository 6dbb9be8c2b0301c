"""What one call asks of the tool that gives the toolchain; commands inside the activation go by it too."""

from __future__ import annotations

from esker.formats import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NamedTuple
else:
    from esker.host.named_tuple import NamedTuple

__all__ = ["ToolChoice"]


class ToolChoice(NamedTuple):
    """The options of one call; each comes before what the manifest says."""

    shell: str | None = None
    """The name of the shell among those that the project declares."""
    override_inputs: Mapping[str, str] = {}
    """By the name of an input: what is taken in its place."""
    impure: bool = False
    """Whether the tool may look at everything, so that its result is not kept."""

    @property
    def text(self) -> str:
        """The choice as text, always the same for the same choice; empty if nothing was chosen."""
        named = {"shell": self.shell, "override-inputs": dict(sorted(self.override_inputs.items()))}
        chosen = {name: value for name, value in {**named, "impure": self.impure}.items() if value}
        return json_text.render(chosen) if chosen else ""

    def check_nothing(self, of: str, hint: str) -> None:
        """Raise UsageError if something was chosen, because the environment comes from a tool that has no choice."""
        chosen = {"--shell": self.shell, "--override-input": self.override_inputs, "--impure": self.impure}
        for option, value in chosen.items():
            if value:
                from esker.errors import UsageError

                raise UsageError(f"{option} is for Nix, and this environment comes from {of}", hint=hint)

    @classmethod
    def of(cls, text: str) -> ToolChoice:
        """Return the choice that a text stands for; one that is not ours stands for none."""
        try:
            record = json_text.parse(text) if text else {}
            shell, overrides = record.get("shell"), record.get("override-inputs", {})
            texts = [*([] if shell is None else [shell]), *overrides, *overrides.values()]
        except (ValueError, AttributeError, TypeError):
            return cls()
        if not all(isinstance(each, str) for each in texts):
            return cls()
        return cls(shell, overrides, record.get("impure") is True)
