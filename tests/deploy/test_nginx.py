"""Replicas behind nginx are restarted in turn under load, and no request is lost."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from benchmarks.rolling import GRAFT_CONF, restart_replicas
from service.bundle.reading import Bundle
from service.settings import Settings


def test_nginx_has_the_size_limit_of_a_replica() -> None:
    limit = re.search(r"client_max_body_size (\d+)m;", GRAFT_CONF.read_text())
    assert limit
    assert int(limit[1]) * 1024 * 1024 == Settings().max_request_bytes


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx (a Debian package)")
def test_restarting_one_replica_after_the_other_loses_no_request(
    tmp_path: Path, tiny_bundle: Bundle
) -> None:
    result = restart_replicas(tmp_path, tiny_bundle.path, 2, print)
    assert set(result.outcomes) == {"200"}
    assert result.outcomes["200"] > 100
    assert result.upstream["503, 200"], "no request reached a draining replica"
    assert result.upstream["502, 200"], "no request reached a closed replica"
