from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plugins.registry import resolve
from trainers.features.network import Network


def make_network(weights: str = "none", size: int = 32, seed: int = 0) -> Network:
    return Network(resolve("tiny"), weights, size, seed)


def test_the_identity_is_computed_without_loading_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("loaded")

    network = make_network()
    monkeypatch.setattr(type(network.backbone), "load", fail)
    assert network.identity == make_network().identity


def test_everything_that_changes_the_features_changes_the_identity(tmp_path: Path) -> None:
    file = tmp_path / "weights.h5"
    file.write_bytes(b"weights")
    identities = [
        make_network().identity,
        make_network(size=64).identity,
        make_network(seed=1).identity,
    ]
    identities += [make_network(str(file)).identity, make_network("imagenet").identity]
    file.write_bytes(b"other weights")
    identities.append(make_network(str(file)).identity)
    pocket = Network(resolve("pocket"), "none", 32, 0)
    assert len({*identities, pocket.identity}) == len(identities) + 1


def test_random_weights_are_the_same_every_time() -> None:
    first = make_network().body.get_weights()
    np.random.default_rng(7)
    resolve("tiny").load("none")
    second = make_network().body.get_weights()
    assert all(map(np.array_equal, first, second))
    assert not np.array_equal(first[0], make_network(seed=1).body.get_weights()[0])


def test_the_body_is_frozen_and_its_feature_maps_are_averaged() -> None:
    network = make_network()
    assert network.body.trainable_weights == []
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    maps = np.asarray(network.body(images, training=False))
    np.testing.assert_allclose(network.embedder(images), maps.mean(axis=(1, 2)), atol=1e-5)
