from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from service.errors import ClientDisconnected, Overloaded, PayloadTooLarge, UnsupportedMediaType
from service.http.uploads.body import read_body
from service.server.upload_quota import Upload, UploadQuota
from tests.service.http.uploads.test_forms import Client


def read(request: Request, quota_bytes: int = 1_000_000) -> bytes:
    return asyncio.run(read_body(request, 3000, Upload(UploadQuota(quota_bytes))))


def test_the_body_is_read_whatever_its_content_type() -> None:
    for content_type in (None, "application/json", "multipart/form-data; boundary=edge"):
        assert read(Client([b"ab", b"", b"c"]).request(content_type)) == b"abc"


def test_the_body_is_limited_by_size_and_quota() -> None:
    assert len(read(Client([bytes(3000)]).request(None))) == 3000
    with pytest.raises(PayloadTooLarge, match="at most 3,000 bytes are accepted"):
        read(Client([bytes(3001)]).request(None))
    with pytest.raises(Overloaded):
        read(Client([bytes(3000)]).request(None), quota_bytes=2999)


def test_a_content_length_above_the_limit_is_refused_unread() -> None:
    client = Client([b"abc"])
    with pytest.raises(PayloadTooLarge):
        read(client.request(None, length=3001))
    assert client.sent == 0


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP, identity"])
def test_a_compressed_body_is_refused_unread(encoding: str) -> None:
    client = Client([b"abc"])
    request = client.request(None)
    request.scope["headers"].append((b"content-encoding", encoding.encode()))
    with pytest.raises(
        UnsupportedMediaType, match=r"encoding.* is not accepted; send the body uncompressed"
    ):
        read(request)
    assert client.sent == 0


def test_a_disconnect_is_reported() -> None:
    with pytest.raises(ClientDisconnected, match="the client disconnected"):
        read(Client([b"abc"], disconnects=True).request(None))
