"""Forms as different clients write them, complete and truncated."""

from __future__ import annotations

import asyncio
import base64
import quopri
from collections.abc import AsyncIterator

import pytest

from service.errors import MalformedRequest, PayloadTooLarge
from service.http.uploads.multipart import Part, read_form

CONTENT = b"\xff\xd8\r\n--ed\r\n \0\xff"
KIND = "multipart/form-data; boundary=edge"


def part(
    disposition: bytes = b'form-data; name="image"; filename="x"', headers: bytes = b""
) -> bytes:
    return b"--edge\r\nContent-Disposition: " + disposition + b"\r\n" + headers + b"\r\n"


def read(body: bytes, kind: str = KIND, chunk_size: int = 0, max_pictures: int = 3) -> list[Part]:
    async def chunks() -> AsyncIterator[bytes]:
        for offset in range(0, len(body), chunk_size or len(body) or 1):
            yield body[offset : offset + (chunk_size or len(body))]

    return asyncio.run(read_form(kind, chunks(), "image", max_pictures))


COMPLETE_FORM = part() + CONTENT + b"\r\n--edge--"


@pytest.mark.parametrize("chunk_size", [0, 1, 7])
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\nan epilogue\r\n--edge\r\n"])
@pytest.mark.parametrize("start", [b"", b"\r\n", b"This is a preamble -- of lines\r\n\r\n"])
def test_preamble_and_epilogue_are_ignored(start: bytes, end: bytes, chunk_size: int) -> None:
    (part_read,) = read(start + COMPLETE_FORM + end, chunk_size=chunk_size)
    assert (part_read.name, part_read.has_filename, part_read.content()) == ("image", True, CONTENT)


@pytest.mark.parametrize("chunk_size", [0, 5])
def test_a_form_cut_short_anywhere_is_refused(chunk_size: int) -> None:
    body = COMPLETE_FORM.replace(b"--edge--", b"") + COMPLETE_FORM
    for end in range(len(body)):
        with pytest.raises(
            MalformedRequest, match=r"is empty|does not contain|was probably cut short"
        ):
            read(body[:end], chunk_size=chunk_size)
    assert len(read(body, chunk_size=chunk_size)) == 2


@pytest.mark.parametrize(
    "kind",
    [
        'multipart/form-data; boundary="edge"',
        "Multipart/Form-Data; Boundary=edge",
        "multipart/form-data; charset=utf-8; boundary=edge;",
        "multipart/form-data; boundary= edge; charset=punycode",
    ],
)
def test_a_boundary_may_be_written_in_several_ways(kind: str) -> None:
    assert read(COMPLETE_FORM, kind)[0].content() == CONTENT


NAMES = {
    b'form-data; name="image"; filename="\xe6\xbc\xa2.jpg"': True,
    b"form-data; name=\"image\"; filename*=utf-8''%E6%BC%A2.jpg": True,
    b"form-data; name=image; filename=x.jpg; filename*=utf-8''x.jpg": True,
    b'form-data; name="image"; FileName*0="x"; FileName*1=".jpg"': True,
    b'form-data; name="image"; filename=""': True,
    b'form-data; filename="x; name=other"; name="image"': True,
    b'form-data; filename="report\\"; name="image"': True,
    b'form-data; name="image"; filename="C:\\new\\"': True,
    b'FORM-DATA;NAME="image";FILENAME="a\\"b.jpg"': True,
    b'attachment; name="image"; filename="x"': True,
    b'form-data; name="image"': False,
}


@pytest.mark.parametrize("disposition", NAMES)
def test_dispositions_of_all_clients_are_read(disposition: bytes) -> None:
    (part_read,) = read(part(disposition) + CONTENT + b"\r\n--edge--")
    assert (part_read.name, part_read.has_filename) == ("image", NAMES[disposition])


def test_the_media_type_of_a_part_is_read() -> None:
    kinds = (b"Image/JPEG; q=1", b"text/plain", b"application/json; charset=utf-8")
    heads = [part(headers=b"content-type: " + kind + b"\r\n") for kind in kinds]
    parts = read(b"\r\n".join(heads) + b"\r\n--edge--")
    assert [part.media_type for part in parts] == ["image/jpeg", "text/plain", "application/json"]
    assert [part.is_textual for part in parts] == [False, True, True]
    assert [part.content() for part in parts] == [b"", b"", b""]


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        (b"binary", CONTENT),
        (b"8BIT", CONTENT),
        (b"Base64", base64.encodebytes(CONTENT * 20).replace(b"\n", b"\r\n")),
        (b"quoted-printable", quopri.encodestring(CONTENT)),
    ],
)
def test_encodings_of_a_part_are_decoded(encoding: bytes, content: bytes) -> None:
    headers = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    (part_read,) = read(part(headers=headers) + content + b"\r\n--edge--")
    assert part_read.content() in (CONTENT, CONTENT * 20)


@pytest.mark.parametrize(
    ("encoding", "reason"),
    [
        (b"base64", "declared as base64, but its content is not"),
        (b"x-uuencode", "an unknown Content-Transfer-Encoding"),
    ],
)
def test_other_encodings_are_refused(encoding: bytes, reason: str) -> None:
    headers = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    (part_read,) = read(part(headers=headers) + b"?" + b"\r\n--edge--")
    with pytest.raises(MalformedRequest, match=reason):
        part_read.content()


BROKEN = {
    "names no boundary": (COMPLETE_FORM, "multipart/form-data"),
    "must end in CR LF": (COMPLETE_FORM.replace(b"\r\n", b"\n"), KIND),
    "does not contain the boundary": (COMPLETE_FORM, "multipart/form-data; boundary=other"),
    "does not start with the boundary": (
        bytes(70_000) + COMPLETE_FORM,
        "multipart/form-data; boundary=other",
    ),
    "it is empty": (b"", KIND),
    'no Content-Disposition header with a name="..."': (
        part(b'form-data; filename="x"') + b"\r\n",
        KIND,
    ),
    "damaged or too long": (part(b"form-data; name=" + b"a" * 9_000), KIND),
    "more than 16 fields besides `image`": (part(b"form-data; name=a") * 17, KIND),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_form_is_refused_with_the_reason(reason: str) -> None:
    body, kind = BROKEN[reason]
    if "fields" in reason:
        body = (part(b"form-data; name=a") + b"\r\n") * 17
    with pytest.raises(MalformedRequest) as refused:
        read(body, kind)
    assert reason in str(refused.value)


def test_too_many_pictures_are_refused() -> None:
    with pytest.raises(
        PayloadTooLarge, match="at most 2 pictures are accepted per request, in field `image`"
    ):
        read((part() + b"\r\n") * 40, max_pictures=2)
