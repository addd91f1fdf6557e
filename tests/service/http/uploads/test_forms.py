from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import Iterable, Iterator

import pytest
from starlette.requests import Request

from service.errors import (
    ClientDisconnected,
    MalformedRequest,
    MissingField,
    Overloaded,
    PayloadTooLarge,
    RequestError,
    UnsupportedMediaType,
)
from service.http.uploads.forms import check_size, read_picture, read_pictures
from service.server.upload_quota import Upload, UploadQuota
from service.settings import Settings

SETTINGS = Settings(max_image_bytes=100, max_request_bytes=3000, max_pictures=3)
MULTIPART = "multipart/form-data; boundary=edge"


class Client:
    """Sends a body in pieces, and counts the pieces that were read."""

    def __init__(self, pieces: Iterable[bytes], disconnects: bool = False) -> None:
        self.sent = 0
        self._pieces = iter(pieces)
        self._disconnects = disconnects

    async def receive(self) -> dict[str, object]:
        for piece in self._pieces:
            self.sent += 1
            return {"type": "http.request", "body": piece, "more_body": True}
        if self._disconnects:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    def request(self, content_type: str | None, length: int | None = None) -> Request:
        headers = {"content-type": content_type, "content-length": length}
        raw = [(k.encode(), str(v).encode("latin-1")) for k, v in headers.items() if v is not None]
        return Request({"type": "http", "headers": raw}, self.receive)


def part(name: str, content: bytes, filename: str | None = "leaf.jpg") -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    head = f'--edge\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--edge--\r\n"


def upload() -> Upload:
    """An upload with a quota that is never full."""
    return Upload(UploadQuota(1_000_000_000))


def read_one(content_type: str | None, *pieces: bytes, settings: Settings = SETTINGS) -> bytes:
    return asyncio.run(read_picture(Client(pieces).request(content_type), settings, upload()))


def read_several(body: bytes, content_type: str = MULTIPART) -> list[bytes | RequestError]:
    return asyncio.run(read_pictures(Client([body]).request(content_type), SETTINGS, upload()))


# One picture


@pytest.mark.parametrize(
    "content_type",
    ["image/jpeg", "IMAGE/PNG", "image/webp; q=1", "image/anything", "application/octet-stream"],
)
def test_the_body_may_be_the_picture(content_type: str) -> None:
    assert read_one(content_type, b"abc", b"", b"def") == b"abcdef"


@pytest.mark.parametrize("content_type", [MULTIPART, "Multipart/Form-Data; boundary=edge"])
def test_the_field_image_is_the_picture(content_type: str) -> None:
    assert read_one(content_type, form(part("image", b"abc\r\ndef"))) == b"abc\r\ndef"


def test_multipart_may_arrive_in_any_pieces() -> None:
    body = form(part("note", b"hello", None), part("image", b"abc"))
    assert read_one(MULTIPART, *(body[i : i + 1] for i in range(len(body)))) == b"abc"


def test_other_fields_are_ignored() -> None:
    body = form(part("note", b"x", None), part("image", b"abc"), part("last", b"y", None))
    assert read_one(MULTIPART, body) == b"abc"


def test_pictures_never_touch_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    picture = bytes(3_000_000)  # Starlette's own parser keeps 1 MB in memory
    assert read_one(MULTIPART, form(part("image", picture)), settings=Settings()) == picture


def test_a_second_picture_is_refused() -> None:
    body = form(part("image", b"a"), part("image", b"b"))
    with pytest.raises(
        PayloadTooLarge, match="at most 1 picture is accepted per request, in field `image`"
    ):
        read_one(MULTIPART, body)


def test_missing_field_is_named() -> None:
    with pytest.raises(MissingField, match="no multipart field `image`"):
        read_one(MULTIPART, form(part("picture", b"abc")))


START = b'--edge\r\nContent-Disposition: form-data; name="image"'
FILES = {
    "only a name of RFC 5987": b"; filename*=utf-8''%E6%BC%A2.jpg\r\n",
    "name in two pieces": b'; filename*0="le"; filename*1="af.jpg"\r\n',
    "only a content type": b"\r\nContent-Type: image/jpeg\r\n",
    "octets": b"\r\nContent-Type: application/octet-stream\r\n",
    "bytes that are not text": b"\r\n",
    "text and bytes": b"\r\nContent-Type: text/plain\r\n",
    "empty name": b'; filename=""\r\n',
}


@pytest.mark.parametrize("head", FILES.values(), ids=FILES)
@pytest.mark.parametrize("content", [b"\xff\xd8 bytes", b"GIF89a"])
def test_a_file_needs_no_file_name(head: bytes, content: bytes) -> None:
    """Bytes that could be text need a file name, or a content type that is not text."""
    if content.isascii() and head in (FILES["bytes that are not text"], FILES["text and bytes"]):
        with pytest.raises(MissingField, match="holds text, not a file"):
            read_one(MULTIPART, START + head + b"\r\n" + content + b"\r\n--edge--\r\n")
        return
    assert read_one(MULTIPART, START + head + b"\r\n" + content + b"\r\n--edge--\r\n") == content


@pytest.mark.parametrize("text", [b"data:image/png;base64,iVBORw0KGgo=", b"iVBORw0KGgoA" * 9])
def test_base64_in_a_text_field_is_refused_with_a_hint(text: bytes) -> None:
    with pytest.raises(MissingField, match=r"holds text, .*; the data is .* send it as JSON"):
        read_one(MULTIPART, form(part("image", text, filename=None)))


def typed_part(name: str, kind: str, content: bytes, filename: str = "x") -> bytes:
    file = f'; filename="{filename}"' if filename else ""
    head = f'--edge\r\nContent-Disposition: form-data; name="{name}"{file}\r\n'
    return (head + f"Content-Type: {kind}\r\n\r\n").encode() + content + b"\r\n"


@pytest.mark.parametrize("count", [1, 2])
def test_files_in_other_fields_are_refused(count: int) -> None:
    other_fields = [part(f"mask{number}", b"x") for number in range(count)]
    with pytest.raises(PayloadTooLarge, match=f"the form has {count} files? in fields other than"):
        read_one(MULTIPART, form(*other_fields, part("image", b"abc")))


def test_text_and_empty_files_in_other_fields_are_ignored() -> None:
    blob = typed_part("about", "application/json", b"{}", "blob")  # a page's FormData
    text = typed_part("note", "text/plain; charset=utf-8", b"hello", "")  # .NET's StringContent
    empty = typed_part("mask", "application/octet-stream", b"", "")
    assert read_one(MULTIPART, form(blob, text, empty, part("image", b"abc"))) == b"abc"


def test_a_file_in_another_field_is_refused_with_the_right_name() -> None:
    with pytest.raises(MissingField, match="another field holds a file: rename it to `image`"):
        read_one(MULTIPART, form(part("file", b"abc")))


def test_text_in_the_file_field_is_refused_with_the_curl_option() -> None:
    with pytest.raises(
        MissingField, match=r"holds text, .* put @ before the file name: -F image=@leaf\.jpg"
    ):
        read_one(MULTIPART, form(part("image", b"http://127.0.0.1/leaf.jpg", filename=None)))


def test_the_error_for_a_missing_content_type_names_what_to_send() -> None:
    with pytest.raises(MissingField, match="no content type; send the multipart field"):
        read_one(None, b"abc")


def test_curls_default_content_type_is_refused_with_the_option() -> None:
    with pytest.raises(UnsupportedMediaType, match="-H 'Content-Type: image/jpeg'"):
        read_one("application/x-www-form-urlencoded", b"abc")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=edge",
        "nonsense",
        "image",
        ";;;",
        "\xff\xfe",
    ],
)
def test_other_content_types_are_refused_by_name(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=r"this content type is not accepted; send"):
        read_one(content_type, b"abc")


# JSON


def in_json(text: object, **other_fields: object) -> bytes:
    return json.dumps({"image": text, **other_fields}).encode()


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "text/json"]
)
def test_json_holds_the_picture_as_base64(kind: str) -> None:
    assert read_one(kind, in_json("YWJjZA==", note=1)) == b"abcd"


def test_json_has_the_limit_of_a_picture_after_decoding() -> None:
    lines = base64.encodebytes(bytes(100)).decode()
    assert read_one("application/json", in_json(lines)) == bytes(100)
    with pytest.raises(PayloadTooLarge, match="the picture has 101 bytes; at most 100"):
        read_one("application/json", in_json(base64.b64encode(bytes(101)).decode()))
    settings = Settings(max_image_bytes=100)
    with pytest.raises(PayloadTooLarge, match="at most 65,686 bytes are accepted"):
        read_one("application/json", bytes(65_687), settings=settings)


# Limits


def test_body_of_the_limit_passes_and_one_byte_more_does_not() -> None:
    assert len(read_one("image/png", bytes(60), bytes(40))) == 100
    with pytest.raises(PayloadTooLarge, match="at most 100 bytes are accepted"):
        read_one("image/png", bytes(60), bytes(41))


def test_announced_size_is_refused_before_a_byte_is_read() -> None:
    for content_type, length in (("image/png", 101), (MULTIPART, 3001)):
        client = Client([bytes(10)])
        with pytest.raises(PayloadTooLarge):
            asyncio.run(read_picture(client.request(content_type, length), SETTINGS, upload()))
        assert client.sent == 0


def test_endless_body_is_read_no_further_than_the_limit() -> None:
    def endless() -> Iterator[bytes]:
        yield part("image", b"")[:-2]
        while True:
            yield bytes(50)

    for content_type, pieces in (("image/png", 3), (MULTIPART, 61)):
        client = Client(endless())
        with pytest.raises(PayloadTooLarge):
            asyncio.run(read_picture(client.request(content_type), SETTINGS, upload()))
        assert client.sent <= pieces


def test_picture_in_a_form_has_the_limit_of_a_picture() -> None:
    assert len(read_one(MULTIPART, form(part("image", bytes(100))))) == 100
    with pytest.raises(PayloadTooLarge, match="the picture has 101 bytes; at most 100 are"):
        read_one(MULTIPART, form(part("image", bytes(101))))


def test_the_lower_limit_applies_to_a_body() -> None:
    with pytest.raises(PayloadTooLarge, match="at most 50 bytes"):
        read_one(
            "image/png", bytes(51), settings=Settings(max_image_bytes=100, max_request_bytes=50)
        )


@pytest.mark.parametrize("content_type", ["image/png", MULTIPART])
def test_concurrent_uploads_share_the_quota(content_type: str) -> None:
    quota = UploadQuota(250)
    body = form(part("image", b"x"))[:90] if content_type == MULTIPART else bytes(90)

    async def read(client: Client) -> None:
        with quota.upload() as upload:
            await read_picture(client.request(content_type), SETTINGS, upload)

    async def read_beyond_quota() -> None:
        with quota.upload() as first_upload, quota.upload() as second_upload:
            first_upload.add(90)
            second_upload.add(90)
            client = Client([body[:60], body[60:], b"more"])
            with pytest.raises(Overloaded, match=r"uploads is full \(240 of 250 bytes"):
                await read(client)
            assert client.sent == 2
            assert quota.used_bytes == 180

    asyncio.run(read_beyond_quota())
    assert quota.used_bytes == 0


# Several pictures


def test_pictures_keep_the_order_of_the_fields() -> None:
    assert read_several(form(*(part("images", b) for b in (b"1", b"2", b"3")))) == [
        b"1",
        b"2",
        b"3",
    ]


def test_a_large_picture_of_several_is_returned() -> None:
    """The handler refuses only this picture."""
    large = bytes(101)
    assert read_several(form(part("images", b"1"), part("images", large))) == [b"1", large]
    with pytest.raises(PayloadTooLarge, match="the picture has 101 bytes; at most 100 "):
        check_size(large, SETTINGS)


@pytest.mark.parametrize("count", [4, 5, 9])
def test_too_many_pictures_are_refused_with_the_limit(count: int) -> None:
    with pytest.raises(
        PayloadTooLarge, match="at most 3 pictures are accepted per request, in field `images`"
    ):
        read_several(form(*[part("images", b"x")] * count))


def test_several_pictures_must_be_a_form() -> None:
    with pytest.raises(UnsupportedMediaType, match="in a multipart field `images`"):
        read_several(b"abc", "image/jpeg")
    with pytest.raises(MissingField, match="no multipart field `images`"):
        read_several(form(part("image", b"abc")))


# Broken requests


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", form(part("image", b"abc"))),
        ("multipart/form-data; boundary=", form(part("image", b"abc"))),
        ("multipart/form-data; boundary=other", form(part("image", b"abc"))),
        (MULTIPART, b"no multipart at all"),
        (MULTIPART, b"--edge\r\nbroken header\r\n\r\nabc\r\n--edge--\r\n"),
        (MULTIPART, b"--edge\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--edge--\r\n"),
        (MULTIPART, b"--edge\r\n\r\nabc\r\n--edge--\r\n"),
        (MULTIPART, form(*[part(f"f{i}", b"x", None) for i in range(17)])),
    ],
    ids=[
        "no boundary",
        "empty boundary",
        "wrong boundary",
        "text",
        "header",
        "no name",
        "no headers",
        "many fields",
    ],
)
def test_broken_form_is_malformed(content_type: str, body: bytes) -> None:
    with pytest.raises(MalformedRequest, match="the multipart body cannot be read: "):
        read_one(content_type, body)


@pytest.mark.parametrize("body", [b"", form(part("image", b"abc"))[:-20]], ids=["empty", "cut"])
def test_form_without_its_end_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequest, match=r"it is empty|it was probably cut short"):
        read_one(MULTIPART, body)


@pytest.mark.parametrize("charset", ["utf-8", "no-such-charset", "base64", "idna", "punycode"])
@pytest.mark.parametrize("name", [b"image", b"\xff\xfe"])
def test_any_charset_is_read_or_refused(charset: str, name: bytes) -> None:
    body = form(part("image", b"abc").replace(b'"image"', b'"' + name + b'"'))
    try:
        assert read_one(f"{MULTIPART}; charset={charset}", body) == b"abc"
    except (MissingField, MalformedRequest):
        assert (charset, name) != ("utf-8", b"image")


@pytest.mark.parametrize("content_type", ["image/png", MULTIPART])
def test_a_disconnect_is_reported(content_type: str) -> None:
    client = Client([part("image", b"abc")], disconnects=True)
    with pytest.raises(ClientDisconnected, match="the client disconnected"):
        asyncio.run(read_picture(client.request(content_type), SETTINGS, upload()))
