"""The option --data of the commands that read a folder, but do not train."""

from __future__ import annotations

import argparse
from pathlib import Path

from service.errors import SettingError
from service.system.folders import expand_home


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Add the required option --data to a parser; its value is a `Path`."""
    parser.add_argument(
        "--data",
        type=_folder,
        required=True,
        metavar="DATA",
        help="folder with one sub-folder per class, or with split folders (train/, val/, test/) "
        "that have such sub-folders; or a table of labels (.csv, .tsv, .json, .jsonl, .parquet), "
        "or the folder that holds it; or a Zip or tar archive of any of these",
    )


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; use . for the current folder")
    try:
        return expand_home(text, "HOME")
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
