"""A command-line parser whose error messages suggest what to type."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

from service.errors import GraftError, UsageError

WRONG_USE: Final = 2
"""Exit code of a command whose options or data cannot be used; argparse has the same."""
_MIN_SIMILARITY: Final = 0.7
"""A name is suggested only if `difflib` rates its similarity (0 to 1) at least this high."""
OPTION_ALIASES: Final[Mapping[str, str]] = {
    "plugin": "model backbone arch architecture network net encoder m",
    "plugins": "plugin model models backbone backbones arch network",
    "data": "dataset datasets datadir datapath dataroot datafolder dataset dir root input images "
    "imagedir pictures folder path source train traindir traindata d",
    "weights": "pretrained pretrainedweights checkpoint ckpt initweights w",
    "output": "out outdir outputdir outputpath savedir savepath save project dest modeldir o",
    "name": "modelname runname experiment experimentname exp tag n",
    "image-size": "img imgsize imgsz imsize size inputsize inputshape targetsize resolution res "
    "crop cropsize resize width height imagewidth imageheight",
    "batch-size": "batch bs b minibatch trainbatchsize",
    "strategy": "finetune finetuning freeze freezebackbone",
    "fine-tune-epochs": "finetuningepochs epochs epoch numepochs nepochs maxepochs numtrainepochs "
    "ep e iterations iters",
    "fine-tune-layers": "finetuninglayers unfreeze unfreezelayers trainablelayers",
    "fine-tune-learning-rate": "finetunelr finetuninglr finetuninglearningrate learningrate lr lr0 "
    "baselr initlr initiallr initiallearningrate rate",
    "precision": "amp fp16 bf16 half mixedprecision dtype",
    "time-budget": "timeout maxtime timelimit time maxseconds",
    "cache-gigabytes": "cache cachesize cachegb",
    "tensorboard": "logdir logs log tb",
    "seed": "randomseed randomstate s",
    "resume": "continue restore",
    "list-plugins": "list listmodels listbackbones",
    "config": "cfg configfile yaml c",
    "quiet": "silent q",
    "bundle": "model weights checkpoint ckpt modelpath modeldir tag m",
    "csv": "out output outputfile save table o",
    "over": "old replace baseline current against model",
}
"""Maps each option to the names that other tools use for it. The names are separated by spaces, and
spelt as `_normalized` returns them."""
_VALUE_ALIASES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("finetune", "finetuning"), "fine-tune"),
    **dict.fromkeys(("freeze", "freezebackbone"), "features"),
}
"""Maps the switches of other tools, such as --freeze, to the values of Graft's option --strategy
that have the same effect."""


def non_empty(value: str) -> str:
    """Return the value of an option; raise ArgumentTypeError if it is empty.

    In a shell, an unset variable gives an empty value.
    """
    if not value:
        raise argparse.ArgumentTypeError("the value is empty")
    return value


def non_empty_path(value: str) -> Path:
    """Return the path in an option; raise ArgumentTypeError if it is empty.

    `Path("")` would be the current folder.
    """
    if not value:
        raise argparse.ArgumentTypeError("the path is empty; use . for the current folder")
    return Path(value)


def closest_match(name: str, candidates: Iterable[str]) -> str | None:
    """Find the candidate most similar to `name`, ignoring case and punctuation; None = no match."""
    keys = {_normalized(candidate): candidate for candidate in candidates}
    matches = difflib.get_close_matches(_normalized(name), keys, 1, _MIN_SIMILARITY)
    return keys[matches[0]] if matches else None


def closest_option(name: str, options: Sequence[str]) -> str | None:
    """Find the option that `name` probably means; None = no match.

    An option that other tools call `name` is preferred to an option with a similar name.

    Args:
        name: the name as it was typed.
        options: names of options, with - or _ between words.
    """
    for option in options:
        if _normalized(name) in OPTION_ALIASES.get(option.replace("_", "-"), "").split():
            return option
    return closest_match(name, options)


def unknown_option_message(name: str, options: Sequence[str]) -> str:
    """Return the error message for an unknown option in a configuration file."""
    match = closest_option(name, options)
    hint = f"did you mean `{match}`? The" if match else "the"
    return f"unknown option `{name}`: {hint} options are {', '.join(options)}"


def _normalized(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


class CommandParser(argparse.ArgumentParser):
    """A parser that raises `error_class` with a one-line message if the command line is wrong."""

    error_class: ClassVar[type[GraftError]] = UsageError
    _arguments: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._arguments = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise self.error_class("; ".join([message, *self._hints(), "--help lists all options"]))

    def _hints(self) -> Iterator[str]:
        """Suggest a known option for each unknown one, or `--data` if only a folder was typed."""
        options = re.findall(r"--([a-z][a-z-]*)", self.format_usage())
        typed = list(dict.fromkeys(filter(None, map(_option_name, self._arguments))))
        for name in typed:
            is_known = name.startswith("--") and name[2:] in options
            if not is_known and (option := closest_option(name, options)):
                value = _VALUE_ALIASES.get(_normalized(name), "")
                yield f"use {f'--{option} {value}'.rstrip()} instead of {name}"
        if not typed and "data" in options:
            yield from (f"use --data {path}" for path in self._arguments[:1] if Path(path).is_dir())


class PrintAction(argparse.Action):
    """An option without a value: it prints the text that `text` returns, and ends the command."""

    def __init__(self, text: Callable[[], str], **options: Any) -> None:
        super().__init__(nargs=0, **options)
        self._text = text

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        print(self._text(), end="")
        parser.exit()


def _option_name(argument: str) -> str:
    """Return the option name in `argument`, with the dashes as typed; "" if there is none."""
    match = re.match(r"--?[A-Za-z][\w.-]*|[A-Za-z][\w-]*(?==)", argument)
    return match.group() if match else ""
