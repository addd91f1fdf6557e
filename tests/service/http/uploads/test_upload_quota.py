from __future__ import annotations

import pytest

from service.errors import Overloaded
from service.http.uploads.upload_quota import UploadRoom


def test_room_is_shared_bounded_and_given_back() -> None:
    room = UploadRoom(100)
    with room.request() as first, room.request() as second:
        first.take(60)
        second.take(40)
        assert room.taken_bytes == 100
        with pytest.raises(Overloaded, match="uploads hold 100 bytes, at most 100 are let in"):
            first.take(1)
    assert room.taken_bytes == 0


def test_room_of_a_request_that_fails_is_given_back() -> None:
    room = UploadRoom(100)

    def fail() -> None:
        with room.request() as upload:
            upload.take(80)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert room.taken_bytes == 0
