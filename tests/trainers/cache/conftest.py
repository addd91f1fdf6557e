"""The leases of two runs that share one cache folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainers.cache.leases import Leases


@pytest.fixture
def own_leases(tmp_path: Path) -> Leases:
    return Leases(tmp_path, tmp_path / "work")


@pytest.fixture
def other_leases(tmp_path: Path) -> Leases:
    return Leases(tmp_path, tmp_path / "other-work")
