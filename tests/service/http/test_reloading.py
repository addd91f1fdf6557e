from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import onnx
import pytest
from starlette.requests import Request

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.bundle.store import roll_back, save
from service.errors import BundleError, ReloadRefused
from service.http.reloading import reload as reload_model
from service.http.reloading import watch_reloads
from service.server.runtime_directory import RuntimeDirectory
from service.state import ServiceState

FRENCH = ("rouge", "vert", "bleu")
COLOURS = ("red", "green", "blue")


@pytest.fixture
def make_bundle(staging: Path, manifest: Manifest) -> Callable[..., Bundle]:
    """Make a bundle with other classes and, optionally, another input size."""

    def make_bundle(classes: tuple[str, ...] = FRENCH, size: int = 32) -> Bundle:
        model = onnx.load(staging / "model.onnx")
        for axis in (1, 2):
            model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
        onnx.save(model, staging / "model.onnx")
        spec = manifest.input.model_copy(update={"size": size})
        changes = {"classes": classes, "input": spec}
        return seal(staging, manifest.model_copy(update=changes), staging.parent)

    return make_bundle


def swap_golden_answers(bundle: Bundle) -> None:
    """Swap two golden answers, and delete the manifest so that the bundle can be sealed again."""
    answers = json.loads((bundle.path / "golden/answers.json").read_text())
    first, *_, last = answers
    answers[first], answers[last] = answers[last], answers[first]
    (bundle.path / "golden/answers.json").write_text(json.dumps(answers))
    (bundle.path / "manifest.json").unlink()


# One worker, in this process


@pytest.fixture
def reloadable(make_state: Any, directory: RuntimeDirectory) -> ServiceState:
    """A state with reloading enabled and a directory that it shares with other workers."""
    state: ServiceState = make_state(directory, reload=True)
    return state


def set_model(state: ServiceState, bundle: Bundle) -> None:
    """Set GRAFT_MODEL to a bundle."""
    state.settings = state.settings.model_copy(update={"model": str(bundle.path)})


def reload_now(state: ServiceState) -> Any:
    response = asyncio.run(reload_model(state, Request({"type": "http"})))
    return json.loads(bytes(response.body))


def test_reloading_serves_the_named_model_and_keeps_an_unchanged_model(
    reloadable: ServiceState, make_bundle: Any, tiny_bundle: Bundle
) -> None:
    old_model = reloadable.model
    old = {"name": "tiny", "version": tiny_bundle.manifest.version}
    assert reload_now(reloadable) == {"old": old, "model": old}
    assert reloadable.model is old_model
    bundle = make_bundle()
    set_model(reloadable, bundle)
    new = {"name": "tiny", "version": bundle.manifest.version}
    assert reload_now(reloadable) == {"old": old, "model": new}
    assert reloadable.model.bundle == bundle
    assert reloadable.runtime_directory.last_reload()[1] == bundle.manifest.version


def test_a_model_without_tuning_gets_that_of_the_old_model(
    reloadable: ServiceState, make_bundle: Any
) -> None:
    choice = reloadable.model.tuning.choice
    set_model(reloadable, make_bundle())
    reload_now(reloadable)
    assert reloadable.model.tuning.choice == choice
    assert reloadable.model.tuning.curve == ()  # it was measured with the old model


def test_a_new_challenger_is_used_and_announced(
    make_state: Any,
    tiny_bundle: Bundle,
    directory: RuntimeDirectory,
    make_bundle: Any,
    fake_challengers: list[Any],
) -> None:
    state = make_state(directory, reload=True, shadow=str(tiny_bundle.path))
    model, bundle = state.model, make_bundle()
    state.settings = state.settings.model_copy(update={"shadow": str(bundle.path)})
    reload_now(state)
    old, new = fake_challengers
    assert (old.is_running, new.is_running) == (False, True)
    assert new.manifest == bundle.manifest
    assert state.model is model
    versions = f"{model.manifest.version}+{bundle.manifest.version}"
    assert state.versions == state.runtime_directory.last_reload()[1] == versions
    reload_now(state)
    assert len(fake_challengers) == 2


def test_a_challenger_that_cannot_be_loaded_does_not_refuse_a_new_model(
    make_state: Any,
    tiny_bundle: Bundle,
    make_bundle: Any,
    tmp_path: Path,
    fake_challengers: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = make_state(reload=True, shadow=str(tiny_bundle.path))
    bundle = make_bundle()
    change = {"model": str(bundle.path), "shadow": str(tmp_path / "nothing")}
    state.settings = state.settings.model_copy(update=change)
    reload_now(state)
    assert state.model.bundle == bundle
    (challenger,) = fake_challengers
    assert state.shadow.challenger is challenger
    assert challenger.is_running
    assert "set GRAFT_SHADOW to" in caplog.text


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda bundle: (bundle.path / "manifest.json").unlink(), "no model"),
        (lambda bundle: (bundle.path / "model.onnx").write_bytes(b"x"), "was altered"),
    ],
    ids=["gone", "altered"],
)
def test_a_refused_bundle_keeps_the_old_model(
    reloadable: ServiceState, make_bundle: Any, damage: Any, message: str
) -> None:
    old_model, bundle = reloadable.model, make_bundle()
    damage(bundle)
    set_model(reloadable, bundle)
    with pytest.raises(ReloadRefused, match=message) as refusal:
        reload_now(reloadable)
    assert f"(version {old_model.manifest.version} is still served)" in str(refusal.value)
    assert reloadable.model is old_model
    assert reloadable.runtime_directory.last_reload() is None  # no other worker reloads


def test_a_new_model_must_reproduce_its_golden_answers(
    reloadable: ServiceState, make_bundle: Any, manifest: Any
) -> None:
    old_model, bundle = reloadable.model, make_bundle()
    swap_golden_answers(bundle)
    set_model(reloadable, seal(bundle.path, manifest, bundle.path.parent))
    with pytest.raises(ReloadRefused, match="does not reproduce"):
        reload_now(reloadable)
    assert reloadable.model is old_model


def test_any_other_failure_keeps_the_old_model_and_is_logged(
    reloadable: ServiceState, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read(path: Path) -> Bundle:
        raise OSError("the disk is gone")

    monkeypatch.setattr(Bundle, "read", read)
    with pytest.raises(ReloadRefused, match="the disk is gone"):
        reload_now(reloadable)
    assert caplog.records[-1].exc_info


@pytest.mark.parametrize(
    ("key", "message"),
    [("public", r"no model\.sig"), ("nowhere", r"GRAFT_VERIFY_KEY .*not a public key")],
)
def test_a_reload_verifies_the_signature_and_reports_a_missing_key(
    reloadable: ServiceState,
    make_bundle: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    key: str,
    message: str,
) -> None:
    pytest.importorskip("model_signing")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "public").write_bytes(public.public_bytes(serialization.Encoding.PEM, form))
    old_model = reloadable.model
    set_model(reloadable, make_bundle())
    change = {"verify_key": str(tmp_path / key)}
    reloadable.settings = reloadable.settings.model_copy(update=change)
    with pytest.raises(ReloadRefused, match=message):
        reload_now(reloadable)
    assert reloadable.model is old_model
    assert not caplog.records[-1].exc_info


def test_the_old_models_memory_is_freed_at_once(reloadable: ServiceState, make_bundle: Any) -> None:
    """It is freed without the garbage collector, which skips objects frozen at start-up."""
    gc.collect()
    gc.disable()
    try:
        model = weakref.ref(reloadable.model)
        session = weakref.ref(reloadable.model._predictor)
        set_model(reloadable, make_bundle())
        reload_now(reloadable)
        assert (model(), session()) == (None, None)
    finally:
        gc.enable()


@dataclass
class Worker:
    """The part of the state that `watch_reloads` uses."""

    runtime_directory: RuntimeDirectory | None
    failure: Exception | None = None
    reloads: int = 0
    model: Any = field(
        default_factory=lambda: SimpleNamespace(
            manifest=SimpleNamespace(id="1", name="a", version="1", tag="a:1")
        )
    )
    settings: Any = field(default_factory=lambda: SimpleNamespace(model="tiny:champion"))

    @property
    def versions(self) -> str:
        version: str = self.model.manifest.version
        return version

    async def reload(self) -> Any:
        self.reloads += 1
        if self.failure:
            raise self.failure
        return self.model.manifest


def watch(worker: Worker, *steps: Callable[[], object]) -> list[int]:
    """Run `watch_reloads` and the steps, with a few polls after each step.

    Return the number of reloads before the first step and after each step.
    """
    polls = 0
    wait_for = asyncio.wait_for

    async def poll(awaitable: Any, seconds: float) -> Any:
        nonlocal polls
        polls += 1
        return await wait_for(awaitable, seconds / 50)

    async def watch_and_step() -> list[int]:
        task = asyncio.create_task(watch_reloads(worker))  # type: ignore[arg-type]
        reload_counts = []
        for step in (lambda: None, *steps):
            step()
            target_polls = polls + 3  # the current poll, one that sees the step, and another one
            while polls < target_polls:
                await asyncio.sleep(0.001)
            reload_counts.append(worker.reloads)
        assert not task.done()
        task.cancel()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        return reload_counts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.http.reloading.asyncio.wait_for", poll)
        return asyncio.run(watch_and_step())


def test_a_worker_reloads_once_per_announcement(directory: RuntimeDirectory) -> None:
    announce = lambda: directory.announce_reload("2")  # noqa: E731
    assert watch(Worker(directory), announce, lambda: None, announce) == [0, 1, 1, 2]


def test_a_worker_ignores_the_version_that_it_serves(
    directory: RuntimeDirectory,
) -> None:
    """It does not load a newer model from the store, because nobody requested that."""
    assert watch(Worker(directory), lambda: directory.announce_reload("1")) == [0, 0]


def test_a_worker_that_starts_during_a_reload_reloads(directory: RuntimeDirectory) -> None:
    directory.announce_reload("2")
    assert watch(Worker(directory)) == [1]


@pytest.mark.parametrize("failure", [BundleError("altered"), RuntimeError("a bug")])
def test_watching_survives_every_failure(directory: RuntimeDirectory, failure: Exception) -> None:
    announce = lambda: directory.announce_reload("2")  # noqa: E731
    assert watch(Worker(directory, failure), announce, announce) == [0, 1, 2]


def send_sighup() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


def test_sighup_reloads_and_announces_it(directory: RuntimeDirectory) -> None:
    assert watch(Worker(directory), send_sighup, lambda: None) == [0, 1, 1]
    assert (directory.last_reload() or (0, ""))[1] == "1"


def test_watching_survives_a_removed_directory(
    directory: RuntimeDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(directory.path)
    assert watch(Worker(directory), send_sighup, send_sighup) == [0, 1, 2]
    assert "cannot tell the other workers" in caplog.text


def test_a_single_worker_reloads() -> None:
    assert watch(Worker(None), send_sighup) == [0, 1]


def test_a_failed_reload_is_not_announced(directory: RuntimeDirectory) -> None:
    assert watch(Worker(directory, BundleError("altered")), send_sighup) == [0, 1]
    assert directory.last_reload() is None


@pytest.fixture
def champions(
    empty_home: Path, tiny_bundle: Bundle, make_bundle: Any
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Two functions, each of which makes another bundle the champion called `tiny`."""
    other = make_bundle()
    return lambda: save(tiny_bundle, as_champion=True), lambda: save(other, as_champion=True)


def test_a_worker_follows_the_champion(champions: Any) -> None:
    promote_first, promote_second = champions
    reload_counts = watch(Worker(None), promote_first, promote_second, lambda: roll_back("tiny"))
    assert reload_counts == [0, 1, 2, 3]


def test_a_worker_does_not_follow_the_champion_of_another_tag(champions: Any) -> None:
    worker = Worker(None, settings=SimpleNamespace(model="tiny:latest"))
    assert watch(worker, *champions) == [0, 0, 0]


def test_a_worker_does_not_reload_the_champion_that_it_serves(
    champions: Any, tiny_bundle: Bundle
) -> None:
    promote_first, promote_second = champions
    worker = Worker(None, model=SimpleNamespace(manifest=tiny_bundle.manifest))
    assert watch(worker, promote_first, promote_second) == [0, 0, 1]


def test_a_champion_that_cannot_be_loaded_is_tried_once(champions: Any) -> None:
    promote_first, promote_second = champions
    worker = Worker(None, BundleError("altered"))
    assert watch(worker, promote_first, lambda: None, promote_second) == [0, 1, 1, 2]


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_watching_survives_a_champion_that_cannot_be_read(
    champions: Any, empty_home: Path, content: bytes | None
) -> None:
    promote_first, _ = champions
    file = empty_home / "models/tiny/.champion"

    def damage() -> None:
        if content is None:
            file.unlink()
            file.mkdir()
        else:
            file.write_bytes(content)

    assert watch(Worker(None), promote_first, damage) == [0, 1, 1]


# Over HTTP


def test_reloading_is_off_by_default(server: Any) -> None:
    response = httpx.post(f"{server.url}/admin/reload")
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "disabled"
    assert "GRAFT_RELOAD=1" in error["message"]


def answers(server: Any, picture: bytes, count: int = 12) -> list[tuple[str, str]]:
    """Return (version, label) for each of `count` requests on new connections."""
    results = []
    for _ in range(count):
        response = httpx.post(f"{server.url}/predict", files={"image": picture}, timeout=60)
        answer = response.raise_for_status().json()
        results.append((answer["model"]["version"], answer["label"]))
    return results


def seconds_until_all(server: Any, picture: bytes, answer: tuple[str, str]) -> float:
    started = time.monotonic()
    while set(answers(server, picture)) != {answer}:
        assert time.monotonic() < started + 90
    return time.monotonic() - started


def shown_models(server: Any) -> set[str]:
    return {name for name in server.metrics() if name.startswith("graft_model_info{")}


@dataclass
class Load:
    """Threads that post pictures until the block ends, and check every answer."""

    server: Any
    draw: Any
    labels: dict[str, tuple[str, ...]]
    """The classes of each version that may answer."""
    versions_by_thread: list[list[str]] = field(default_factory=lambda: [[] for _ in range(6)])
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        self.threads = ThreadPoolExecutor(len(self.versions_by_thread))
        self.posts = [
            self.threads.submit(self.post, number) for number in range(len(self.versions_by_thread))
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.threads.shutdown()
        for post in self.posts:
            post.result()  # raises if a request failed or an answer was wrong

    def post(self, number: int) -> None:
        index = number % 3
        with httpx.Client(timeout=60) as client:
            while not self.stop.is_set():
                files = {"image": self.draw(COLOURS[index])}
                response = client.post(f"{self.server.url}/predict", files=files)
                answer = response.raise_for_status().json()
                version = answer["model"]["version"]
                assert answer["label"] == self.labels[version][index]
                self.versions_by_thread[number].append(version)

    def wait_for(self, version: str) -> None:
        """Wait until each thread has received an answer of this version."""
        deadline = time.monotonic() + 60
        while not all(version in versions for versions in self.versions_by_thread):
            for post in self.posts:
                assert not post.done() or post.result()
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def two_workers(
    serve: Any, empty_home: Path, tiny_bundle: Bundle, request: pytest.FixtureRequest
) -> Iterator[Any]:
    """A service of two workers with the newest model called `tiny`, which may be reloaded.

    The parameter is another value of GRAFT_MODEL.
    """
    save(tiny_bundle, as_champion=True)
    with serve(
        BENTOML_HOME=str(empty_home),
        BENTOML_CONFIG_OPTIONS="services.graft.workers=2",
        GRAFT_MODEL=getattr(request, "param", "tiny:latest"),
        GRAFT_RELOAD="1",
    ) as server:
        # The service is ready with one worker; SIGHUP would end a worker that is still starting.
        deadline = time.monotonic() + 60
        while server.log.read_text().count("Completed async startup hook: watch_reloads") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield server


@pytest.mark.slow
def test_two_workers_reload_under_load(
    two_workers: Any, tiny_bundle: Bundle, make_bundle: Any, draw: Any
) -> None:
    url = f"{two_workers.url}/admin/reload"
    old = tiny_bundle.manifest.version
    unchanged = httpx.post(url, timeout=60).json()
    assert unchanged["old"] == unchanged["model"] == {"name": "tiny", "version": old}
    bundle = make_bundle(FRENCH, size=16)
    new = bundle.manifest.version
    save(bundle)
    with Load(two_workers, draw, {old: COLOURS, new: FRENCH}) as load:
        load.wait_for(old)
        changed = httpx.post(url, timeout=60)
        load.wait_for(new)
    assert changed.json()["model"]["version"] == new
    seconds_until_all(two_workers, draw("blue"), (new, "bleu"))
    (series,) = shown_models(two_workers)
    assert f'version="{new}"' in series
    assert two_workers.metrics()["graft_queue_depth_pictures"] == 0
    assert f"reloaded: tiny:{new} is served instead of tiny:{old}" in two_workers.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("two_workers", ["tiny:champion"], indirect=True)
def test_two_workers_follow_the_champion(
    two_workers: Any, tiny_bundle: Bundle, make_bundle: Any, draw: Any
) -> None:
    old = tiny_bundle.manifest.version
    bundle = make_bundle(FRENCH)
    new = bundle.manifest.version
    save(bundle)
    assert set(answers(two_workers, draw("blue"))) == {(old, "blue")}
    save(bundle, as_champion=True)
    seconds_until_all(two_workers, draw("blue"), (new, "bleu"))
    roll_back("tiny")
    seconds_until_all(two_workers, draw("blue"), (old, "blue"))


@pytest.mark.slow
def test_two_workers_keep_their_model_on_failure_and_reload_on_sighup(
    two_workers: Any, empty_home: Path, tiny_bundle: Bundle, make_bundle: Any, draw: Any
) -> None:
    old = tiny_bundle.manifest.version
    bundle = make_bundle(FRENCH)
    new = bundle.manifest.version
    save(bundle)
    model = empty_home / f"models/tiny/{new}/model.onnx"
    content = model.read_bytes()
    model.write_bytes(b"damaged")
    refused = httpx.post(f"{two_workers.url}/admin/reload", timeout=60)
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "reload_refused"
    assert set(answers(two_workers, draw("blue"))) == {(old, "blue")}
    model.write_bytes(content)
    two_workers.workers()[0].send_signal(signal.SIGHUP)
    seconds_until_all(two_workers, draw("blue"), (new, "bleu"))
    assert len(shown_models(two_workers)) == 1
    assert len(two_workers.workers()) == 2
    log = two_workers.log.read_text()
    assert "reload failed: " in log
    assert f" (version {old} is still served)\n" in log
    assert "Traceback" not in log
