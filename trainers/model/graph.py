"""A network's graph, cut in two behind its frozen layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

Call = tuple[Any, list[Any], list[Any]]
"""One call of a layer or a bare operation in a graph: the operation, its inputs, its outputs."""


def split(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Split a functional model into (frozen, trained) with `model(x) == trained(frozen(x))`.

    Both share the model's layers. The frozen part is as large as it can be: it ends at the last
    tensor before all trainable layers that alone carries everything behind it, the input at worst.
    """
    twin, calls = _calls(model)
    tensor = _last_frozen_tensor(twin.input, calls)
    return keras.Model(twin.input, tensor), keras.Model(tensor, twin.output)


def _calls(model: keras.Model) -> tuple[keras.Model, list[Call]]:
    """The same layers in a graph of their own, and its calls in order.

    Keras lets nobody see a graph, but asks `call_function` for each call while it copies one.
    """
    calls: list[Call] = []

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = operation(*args, **kwargs)
        inputs = filter(keras.backend.is_keras_tensor, keras.tree.flatten((args, kwargs)))
        calls.append((operation, [*inputs], keras.tree.flatten(outputs)))
        return outputs

    twin = keras.models.clone_model(model, clone_function=lambda one: one, call_function=call)
    return twin, calls


def _last_frozen_tensor(images: Any, calls: Sequence[Call]) -> Any:
    last_use = {id(tensor): at for at, (_, inputs, _) in enumerate(calls) for tensor in inputs}
    found, reach = images, last_use[id(images)]
    for at, (operation, _, outputs) in enumerate(calls):
        if getattr(operation, "trainable_weights", ()):
            break
        if reach <= at and len(outputs) == 1:  # nothing earlier is used later
            found = outputs[0]
        reach = max(reach, *(last_use.get(id(tensor), 0) for tensor in outputs))
    return found
