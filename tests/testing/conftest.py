"""Backends under test are classes of these files; nothing of another run of the kit may reach them."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "ARTGEN_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
