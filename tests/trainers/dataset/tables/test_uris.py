from __future__ import annotations

from pathlib import Path

import pytest

from trainers.dataset.tables.uris import is_remote, is_uri, local_path, scheme_of, why_absent


def test_a_uri_has_a_scheme_of_several_letters() -> None:
    assert all(map(is_uri, ["https://a/1.jpg", "S3://b/1.jpg", "memory://1.jpg"]))
    assert not any(map(is_uri, ["1.jpg", "/a/1.jpg", "C:/a/1.jpg", "C:\\a", "a:b", "a/http://b"]))
    assert (scheme_of("S3://b/1.jpg"), scheme_of("1.jpg")) == ("s3", "")


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a/b%20c.jpg", "/a/b c.jpg"),
        ("file://localhost/a/1.jpg", "/a/1.jpg"),
        ("FILE:///a#1?.jpg", "/a#1?.jpg"),
        ("local:///a.jpg", "/a.jpg"),
    ],
)
def test_files_of_this_machine_are_read_where_they_are(uri: str, path: str) -> None:
    assert local_path(uri) == Path(path)
    assert not is_remote(uri)
    assert why_absent(uri) == "does not exist"


def test_files_of_another_host_are_not_those_of_this_machine() -> None:
    assert local_path("file://server/etc/hosts") != Path("/etc/hosts")
    assert why_absent("file://server/etc/hosts") == "names the host server: write file:///PATH"


def test_remote_pictures_are_in_the_cache_whatever_their_characters_are() -> None:
    names = {local_path(uri).name for uri in ("https://[x/1.jpg", "https://a/\ud800.jpg")}
    assert {len(name) for name in names} == {64}
    assert is_remote("https://a/1.jpg")
