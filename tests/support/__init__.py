"""What tests share: fakes of what Esker talks to, and the set-up that more than one folder needs."""

from __future__ import annotations
