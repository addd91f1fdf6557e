"""Replicas behind nginx are restarted in turn under load, and no request is lost."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from benchmarks.rolling import CONF, roll
from service.bundle.reading import Bundle
from service.settings import Settings


def test_bodies_may_be_as_large_as_a_replica_takes_them() -> None:
    found = re.search(r"client_max_body_size (\d+)m;", CONF.read_text())
    assert found
    assert int(found[1]) * 1024 * 1024 == Settings().max_request_bytes


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx (a Debian package)")
def test_restarting_one_replica_after_the_other_loses_no_request(
    tmp_path: Path, tiny_bundle: Bundle
) -> None:
    found = roll(tmp_path, tiny_bundle.path, 2, print)
    assert set(found.fates) == {"200"}
    assert found.fates["200"] > 100
    assert found.upstream["503, 200"], "nginx met no draining replica"
    assert found.upstream["502, 200"], "nginx met no closed replica"
