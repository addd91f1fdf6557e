"""Command lines that users can paste and run in any folder, with any `python` on their PATH.

Each command contains the path of the current interpreter, because `python` may be another one.
`bentoml serve` reads bentofile.yaml in the current folder. So its command line begins with a `cd`
to Graft's folder, unless that folder is the current one or has no bentofile.yaml.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
"""The folder that contains the package `service` and, in a checkout, bentofile.yaml."""


def python_command(module: str, *options: str) -> str:
    """Return the command line that runs a module with the current interpreter."""
    return shlex.join([sys.executable, "-m", module, *options])


def serve_command(tag: str) -> str:
    """Return the command line that serves a model of BentoML's store."""
    bentoml = shlex.quote(str(Path(sys.executable).with_name("bentoml")))
    command = f"GRAFT_MODEL={shlex.quote(tag)} {bentoml} serve"
    if not (ROOT / "bentofile.yaml").is_file():  # installed without a checkout
        return f"{command} service.app:Classifier"
    return command if Path.cwd() == ROOT else f"cd {shlex.quote(str(ROOT))} && {command}"
