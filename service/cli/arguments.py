"""Command lines that say what to type in place of what was typed."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

from service.errors import GraftError, WrongUse

_CLOSE: Final = 0.7
"""Similarity from which a name is offered, 0 to 1 as `difflib` counts."""
HABITS: Final[Mapping[str, str]] = {
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
    "learning-rate": "lr lr0 baselr initlr initiallr initiallearningrate rate",
    "epochs": "epoch numepochs nepochs maxepochs numtrainepochs ep e iterations iters",
    "strategy": "finetune finetuning freeze freezebackbone",
    "fine-tune-epochs": "finetuningepochs",
    "fine-tune-layers": "finetuninglayers unfreeze unfreezelayers trainablelayers",
    "fine-tune-learning-rate": "finetunelr finetuninglr finetuninglearningrate",
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
"""Names that other tools give to our options, normalised by `_key`."""
_VALUES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("finetune", "finetuning"), "fine-tune"),
    **dict.fromkeys(("freeze", "freezebackbone"), "features"),
}
"""The value by which an option says what is a switch elsewhere."""


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like another; capitals and signs between do not count."""
    keys = {_key(one): one for one in known}
    close = difflib.get_close_matches(_key(name), keys, 1, _CLOSE)
    return keys[close[0]] if close else None


def closest_option(name: str, options: Sequence[str]) -> str | None:
    """The option, of words joined by - or _, that somebody means by `name`, from whatever tool."""
    for option in options:
        if _key(name) in HABITS.get(option.replace("_", "-"), "").split():
            return option
    return closest(name, options)


def unknown(name: str, options: Sequence[str]) -> str:
    """What to say of an option in a file that there is not."""
    close = closest_option(name, options)
    hint = f"did you mean `{close}`? " if close else ""
    return f"unknown option `{name}`: {hint}There are: {', '.join(options)}"


def _key(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


class Parser(argparse.ArgumentParser):
    """Says what is wrong as every other failure is said: by an exception, in one line."""

    failure: ClassVar[type[GraftError]] = WrongUse
    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise self.failure("; ".join([message, *self._hints(), "--help lists all options"]))

    def _hints(self) -> Iterator[str]:
        """What to type in place of each option that there is not, or before a folder's name."""
        options = re.findall(r"--([a-z][a-z-]*)", self.format_usage())
        typed = list(dict.fromkeys(filter(None, map(_option, self._given))))
        for one in typed:
            is_known = one.startswith("--") and one[2:] in options
            if not is_known and (option := closest_option(one, options)):
                yield f"for {one} type --{option} {_VALUES.get(_key(one), '')}".rstrip()
        if not typed and "data" in options:
            yield from (f"type --data {one}" for one in self._given[:1] if Path(one).is_dir())


class Print(argparse.Action):
    """An option without a value: prints what `text` gives, and ends the command."""

    def __init__(self, text: Callable[[], str], **options: Any) -> None:
        super().__init__(nargs=0, **options)
        self._text = text

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        print(self._text(), end="")
        parser.exit()


def _option(argument: str) -> str:
    """The name of an option as it was typed, dashes included; nothing for a value."""
    found = re.match(r"--?[A-Za-z][\w.-]*|[A-Za-z][\w-]*(?==)", argument)
    return found.group() if found else ""
