"""The command line of a run: a flag for each field of `TrainingConfig`, or a --config file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from plugins.registry import format_table
from service.cli import arguments
from trainers.config import ConfigError, TrainingConfig, validate


class Parser(arguments.Parser):
    failure = ConfigError


class Options(argparse.Namespace):
    """What was asked on the command line: a run's config, and how to talk about it."""

    config: TrainingConfig
    quiet: bool
    json: bool


def parse(line: Sequence[str]) -> Options:
    """Read the command line and the config file that it may name; flags win.

    Raises:
        ConfigError: a flag or a value cannot be used, or the file cannot be read.
        SystemExit: for --help and --list-plugins, as argparse does.
    """
    parser = _parser()
    given = vars(parser.parse_args(line))
    config_file = given.pop("config", None)
    options = Options(quiet=given.pop("quiet"), json=given.pop("json"))
    values = {**(_read(config_file) if config_file else {}), **given}
    if "plugin" not in values:
        raise ConfigError(
            "name a backbone with --plugin, e.g. --plugin efficientnet; --list-plugins lists all"
        )
    options.config = validate(values, f"{config_file}: " if config_file else "")
    return options


def add_flags(parser: argparse.ArgumentParser, options: Iterable[str]) -> None:
    """A flag, with its help, for each of these fields of `TrainingConfig`."""
    for name in options:
        field = TrainingConfig.model_fields[name]
        kinds = get_args(field.annotation)
        kind = kinds[0] if isinstance(field.annotation, UnionType) else field.annotation
        default = "" if field.is_required() or field.default is None else f" ({field.default})"
        description = str(field.description)
        how: dict[str, Any] = {"action": "store_true", "default": argparse.SUPPRESS}
        if kind is not bool:
            names = {int: "N", float: "X", Path: "DIR"}
            choices = "|".join(kinds) if get_origin(field.annotation) is Literal else ""
            how = {"metavar": choices or names.get(kind, name.upper())}  # type: ignore[arg-type]
            description += default
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, help=description.replace("%", "%%"), **how)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m trainers.run",
        description="Train an image classifier on a folder of labelled pictures.",
        epilog="Exit codes: 0 done; 2 wrong use or bad data; 75 stopped (--resume); 1 a bug.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add_flags(parser, TrainingConfig.model_fields)
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML or JSON; flags win")
    parser.add_argument("--quiet", action="store_true", default=False, help="only problems")
    parser.add_argument(
        "--json",
        action="store_true",
        default=False,
        help="log as JSON lines, last line of stdout as a JSON object",
    )
    parser.add_argument(
        "--list-plugins",
        action=arguments.Print,
        text=format_table,
        help="print the backbones and stop",
    )
    return parser


def _read(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except Exception as error:  # PyYAML passes on whatever a wrong tag or date raises
        raise ConfigError(f"config file {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"config file {path} must hold `name: value` lines, one per option")
    return {str(name).replace("-", "_"): value for name, value in content.items()}
