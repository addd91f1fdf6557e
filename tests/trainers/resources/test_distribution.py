"""Which devices fine-tune together, and that several hosts are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trainers.resources.distribution import (
    DistributionError,
    choose_strategy,
    refuse_several_hosts,
)


def config(tasks: Any) -> str:
    return json.dumps({"cluster": tasks, "task": {"type": "worker", "index": 0}})


def set_variable(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if text is None:
        monkeypatch.delenv("TF_CONFIG", raising=False)
    else:
        monkeypatch.setenv("TF_CONFIG", text)


@pytest.mark.parametrize(
    "text", [None, "", " ", "{}", config({"worker": ["a:1"]}), config({"chief": ["a:1"], "ps": []})]
)
def test_a_tf_config_with_one_task_is_accepted(
    text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variable(text, monkeypatch)
    refuse_several_hosts()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (config({"worker": ["a:1", "b:2"]}), "lists 2 tasks"),
        (config({"chief": ["c:3"], "worker": ["a:1", "b:2"]}), "lists 3 tasks"),
        (config({"worker": ["a:1"], "ps": ["p:1"]}), "lists 2 tasks"),
        ("{", "cannot be parsed"),
        ("[]", "cannot be parsed"),
        (config({"worker": 3}), "cannot be parsed"),
        (config(["a:1", "b:2"]), "cannot be parsed"),
    ],
)
def test_several_hosts_are_refused(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variable(text, monkeypatch)
    with pytest.raises(DistributionError, match=r"TF_CONFIG.*one host") as caught:
        refuse_several_hosts()
    assert message in str(caught.value)
    assert "unset" in str(caught.value)


@pytest.mark.parametrize("text", ["{", config({"worker": ["a:1", "b:2"]})])
def test_a_run_on_several_hosts_ends_with_2(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trainers.run import main

    monkeypatch.setenv("TF_CONFIG", text)
    assert main(["--plugin", "tiny", "--data", "nowhere"]) == 2
    assert "TF_CONFIG" in capsys.readouterr().err


def test_one_device_needs_no_strategy() -> None:
    import tensorflow as tf

    assert choose_strategy() is tf.distribute.get_strategy()
    assert not tf.distribute.has_strategy()
