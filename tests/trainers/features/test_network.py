from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plugins.registry import resolve
from trainers.features.network import Network


def network(weights: str = "none", size: int = 32, seed: int = 0) -> Network:
    return Network(resolve("tiny"), weights, size, seed)


def test_the_identity_is_known_without_loading_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("loaded")

    one = network()
    monkeypatch.setattr(type(one.backbone), "load", fail)
    assert one.identity == network().identity


def test_everything_that_changes_the_features_changes_the_identity(tmp_path: Path) -> None:
    file = tmp_path / "weights.h5"
    file.write_bytes(b"weights")
    known = [network().identity, network(size=64).identity, network(seed=1).identity]
    known += [network(str(file)).identity, network("imagenet").identity]
    file.write_bytes(b"other weights")
    known.append(network(str(file)).identity)
    pocket = Network(resolve("pocket"), "none", 32, 0)
    assert len({*known, pocket.identity}) == len(known) + 1


def test_random_weights_are_the_same_every_time() -> None:
    first = network().body.get_weights()
    np.random.default_rng(7)
    resolve("tiny").load("none")
    again = network().body.get_weights()
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first[0], network(seed=1).body.get_weights()[0])


def test_the_body_is_frozen_and_its_feature_maps_are_averaged() -> None:
    one = network()
    assert one.body.trainable_weights == []
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    maps = np.asarray(one.body(images, training=False))
    np.testing.assert_allclose(one.embedder(images), maps.mean(axis=(1, 2)), atol=1e-5)
