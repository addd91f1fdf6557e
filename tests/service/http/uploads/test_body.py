from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from service.errors import ClientGone, Overloaded, PayloadTooLarge, UnsupportedMediaType
from service.http.uploads.body import read_body
from service.server.upload_quota import Upload, UploadQuota
from tests.service.http.uploads.test_forms import Client


def read(request: Request, room_bytes: int = 1_000_000) -> bytes:
    return asyncio.run(read_body(request, 3000, Upload(UploadQuota(room_bytes))))


def test_body_comes_whole_whatever_it_is_called() -> None:
    for content_type in (None, "application/json", "multipart/form-data; boundary=edge"):
        assert read(Client([b"ab", b"", b"c"]).request(content_type)) == b"abc"


def test_body_has_its_limit_and_its_room() -> None:
    assert len(read(Client([bytes(3000)]).request(None))) == 3000
    with pytest.raises(PayloadTooLarge, match="larger than the 3,000 bytes accepted"):
        read(Client([bytes(3001)]).request(None))
    with pytest.raises(Overloaded):
        read(Client([bytes(3000)]).request(None), room_bytes=2999)


def test_announced_length_is_refused_unread() -> None:
    client = Client([b"abc"])
    with pytest.raises(PayloadTooLarge):
        read(client.request(None, length=3001))
    assert client.taken == 0


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP, identity"])
def test_compressed_body_is_refused_unread(encoding: str) -> None:
    client = Client([b"abc"])
    request = client.request(None)
    request.scope["headers"].append((b"content-encoding", encoding.encode()))
    with pytest.raises(
        UnsupportedMediaType, match=r"encoding.* is not accepted; send the body uncompressed"
    ):
        read(request)
    assert client.taken == 0


def test_client_that_goes_away_is_gone() -> None:
    with pytest.raises(ClientGone, match="went away"):
        read(Client([b"abc"], disconnects=True).request(None))
