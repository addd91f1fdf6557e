from __future__ import annotations

import io

from service.imaging.readers.header import damaged_error


def test_the_error_names_format_size_and_reason() -> None:
    assert "PNG data is damaged or cut short (4 bytes): why" in str(
        damaged_error("PNG", b"data", "why")
    )
    assert str(damaged_error("PNG", io.BytesIO().getvalue())).endswith("in an image editor")
