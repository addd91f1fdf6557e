"""Command lines to type next, such that they work where they are printed.

Neither the environment of Graft nor its folder need be the caller's: a bare `python` may be another
one, and `bentoml serve` reads bentofile.yaml where it stands.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
"""Where `service` lies, and, in a checkout, bentofile.yaml."""


def python(module: str, *options: str) -> str:
    """A command of Graft's, by the interpreter that runs now."""
    return shlex.join([sys.executable, "-m", module, *options])


def serve(model: str) -> str:
    """Serve a model.

    Args:
        model: its tag in BentoML's store.
    """
    bentoml = shlex.quote(str(Path(sys.executable).with_name("bentoml")))
    line = f"GRAFT_MODEL={shlex.quote(model)} {bentoml} serve"
    if not (ROOT / "bentofile.yaml").is_file():  # installed without a checkout
        return f"{line} service.app:Classifier"
    return line if Path.cwd() == ROOT else f"cd {shlex.quote(str(ROOT))} && {line}"
