"""The command line of a training run: a flag per field of `TrainingConfig`, and a config file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from plugins.registry import format_table
from service.cli import arguments
from trainers.cli.validation import validate
from trainers.config import ConfigError, TrainingConfig


class TrainingParser(arguments.CommandParser):
    """A parser that raises `ConfigError` for wrong use, such as an unknown flag."""

    error_class = ConfigError


class Options(argparse.Namespace):
    """The options of a run: its configuration, and how it reports its progress."""

    config: TrainingConfig
    quiet: bool
    json: bool


def parse(line: Sequence[str]) -> Options:
    """Parse a command line and its --config file, if any. Flags override values of the file.

    Raises:
        ConfigError: a flag or a value cannot be used, no backbone is given, or the config file
            cannot be read.
        SystemExit: the command line has --help or --list-plugins.
    """
    parser = _parser()
    flags = vars(parser.parse_args(line))
    config_file = flags.pop("config", None)
    options = Options(quiet=flags.pop("quiet"), json=flags.pop("json"))
    values = {**(_read_config(config_file) if config_file else {}), **flags}
    if "plugin" not in values:
        raise ConfigError(
            "no backbone is given: name one with --plugin, e.g. --plugin efficientnet; "
            "--list-plugins lists all"
        )
    options.config = validate(values, f"{config_file}: " if config_file else "")
    return options


def add_flags(parser: argparse.ArgumentParser, options: Iterable[str]) -> None:
    """Add a flag with its help text to `parser` for each of these fields of `TrainingConfig`."""
    for name in options:
        field = TrainingConfig.model_fields[name]
        type_arguments = get_args(field.annotation)
        is_union = isinstance(field.annotation, UnionType)
        value_type = type_arguments[0] if is_union else field.annotation
        default = "" if field.is_required() or field.default is None else f" ({field.default})"
        description = str(field.description)
        keywords: dict[str, Any] = {"action": "store_true", "default": argparse.SUPPRESS}
        if value_type is not bool:
            metavars: dict[Any, str] = {int: "N", float: "X", Path: "DIR"}
            is_literal = get_origin(field.annotation) is Literal
            choices = "|".join(type_arguments) if is_literal else ""
            keywords = {"metavar": choices or metavars.get(value_type, name.upper())}
            description += default
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, help=description.replace("%", "%%"), **keywords)


def _parser() -> argparse.ArgumentParser:
    parser = TrainingParser(
        prog="python -m trainers.run",
        description="Train an image classifier on a folder of labelled pictures.",
        epilog="Exit codes: 0 done; 2 wrong use or bad data; 75 stopped, continue with --resume; "
        "130 stopped by Ctrl-C; 1 a bug.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add_flags(parser, TrainingConfig.model_fields)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML or JSON file with option values; flags override its values",
    )
    parser.add_argument(
        "--quiet", action="store_true", default=False, help="show only warnings and errors"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        default=False,
        help="write the log to stderr as JSON lines, and print the result as a JSON object",
    )
    parser.add_argument(
        "--list-plugins",
        action=arguments.PrintAction,
        text=format_table,
        help="list the backbones and exit",
    )
    return parser


def _read_config(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except Exception as error:  # YAML's tags and dates raise errors of many types
        raise ConfigError(
            f"config file {path} cannot be read: {error}; it must be valid YAML or JSON"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"config file {path} must contain `name: value` lines, one per option")
    return {str(name).replace("-", "_"): value for name, value in content.items()}
