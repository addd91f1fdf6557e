"""Splits the graph of a network into two models, before its first trainable layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

Call = tuple[Any, list[Any], list[Any]]
"""One call in a graph: the layer or operation that is called, its inputs, and its outputs."""


def split_at_trainable(
    model: keras.Model, max_values: float = math.inf
) -> tuple[keras.Model, keras.Model]:
    """Split a functional model into (frozen, trainable) with `model(x) == trainable(frozen(x))`.

    Both parts share their layers with the model. The frozen part has a single output tensor, which
    is computed before all trainable layers. After it is computed, no earlier tensor is used. If
    there are several such tensors, the last one is chosen that has at most `max_values` values per
    picture; if all have more, the smallest one. If there is none after a layer with weights, the
    frozen part contains no layers.
    """
    copy, calls = _list_calls(model)
    tensors = _frozen_tensors(copy.input, calls)
    small = [tensor for tensor in tensors if _count_values(tensor) <= max_values]
    smallest = min(reversed(tensors), key=_count_values, default=copy.input)
    tensor = small[-1] if small else smallest
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


def _frozen_tensors(images: Any, calls: Sequence[Call]) -> list[Any]:
    """Return the tensors, in order, where the graph can be split behind a layer with weights."""
    last_use = {id(tensor): at for at, (_, inputs, _) in enumerate(calls) for tensor in inputs}
    tensors, latest_use, has_weights = [], last_use[id(images)], False
    for at, (operation, _, outputs) in enumerate(calls):
        if getattr(operation, "trainable_weights", ()):
            break
        has_weights = has_weights or bool(getattr(operation, "weights", ()))
        # No earlier tensor may be used after this call.
        if has_weights and latest_use <= at and len(outputs) == 1:
            tensors.append(outputs[0])
        latest_use = max(latest_use, *(last_use.get(id(tensor), 0) for tensor in outputs))
    return tensors


def _count_values(tensor: Any) -> int:
    return math.prod(tensor.shape[1:])
