from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.bundle.manifest import MANIFEST

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def rewrite() -> Callable[..., None]:
    """Edit the manifest of a bundle: rewrite(folder, edit, with_id=True)."""

    def rewrite(folder: Path, edit: Edit, with_id: bool = True) -> None:
        """Compute the id again, as an attacker would, unless `with_id` is False."""
        path = folder / MANIFEST
        content = json.loads(path.read_text())
        edit(content)
        if with_id:
            content["id"] = ""
            text = json.dumps({k: v for k, v in content.items() if k != "id"}, sort_keys=True)
            content["id"] = hashlib.sha256(text.encode()).hexdigest()
        path.write_text(json.dumps(content))

    return rewrite
