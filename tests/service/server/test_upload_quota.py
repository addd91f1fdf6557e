from __future__ import annotations

import pytest

from service.errors import Overloaded
from service.server.upload_quota import UploadQuota


def test_requests_share_a_bounded_quota_and_give_it_back() -> None:
    quota = UploadQuota(100)
    with quota.upload() as first_upload, quota.upload() as second_upload:
        first_upload.add(60)
        second_upload.add(40)
        assert quota.used_bytes == 100
        with pytest.raises(Overloaded, match=r"uploads is full \(100 of 100 bytes"):
            first_upload.add(1)
    assert quota.used_bytes == 0


def test_a_failed_request_gives_its_quota_back() -> None:
    quota = UploadQuota(100)

    def fail() -> None:
        with quota.upload() as upload:
            upload.add(80)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert quota.used_bytes == 0
