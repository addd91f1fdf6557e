"""Splits the graph of a network into two models, before its first trainable layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

Call = tuple[Any, list[Any], list[Any]]
"""One call in a graph: the layer or operation that is called, its inputs, and its outputs."""


def split_at_trainable(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Split a functional model into (frozen, trainable) with `model(x) == trainable(frozen(x))`.

    Both parts share their layers with the model. The frozen part has a single output tensor, which
    is computed before all trainable layers. After it is computed, no earlier tensor is used. If
    there are several such tensors, the last one is chosen. If there is none, the frozen part
    contains no layers.
    """
    copy, calls = _list_calls(model)
    tensor = _last_frozen_tensor(copy.input, calls)
    return keras.Model(copy.input, tensor), keras.Model(tensor, copy.output)


def _list_calls(model: keras.Model) -> tuple[keras.Model, list[Call]]:
    """Copy the graph of a model, but not its layers, and list the calls of the graph in order.

    Keras has no public function that lists the calls of a graph. But `clone_model` makes each
    call through its argument `call_function`.
    """
    calls: list[Call] = []

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = operation(*args, **kwargs)
        inputs = filter(keras.backend.is_keras_tensor, keras.tree.flatten((args, kwargs)))
        calls.append((operation, [*inputs], keras.tree.flatten(outputs)))
        return outputs

    copy = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return copy, calls


def _last_frozen_tensor(images: Any, calls: Sequence[Call]) -> Any:
    last_use = {id(tensor): at for at, (_, inputs, _) in enumerate(calls) for tensor in inputs}
    frozen, latest_use = images, last_use[id(images)]
    for at, (operation, _, outputs) in enumerate(calls):
        if getattr(operation, "trainable_weights", ()):
            break
        if latest_use <= at and len(outputs) == 1:  # no earlier tensor is used after this call
            frozen = outputs[0]
        latest_use = max(latest_use, *(last_use.get(id(tensor), 0) for tensor in outputs))
    return frozen
