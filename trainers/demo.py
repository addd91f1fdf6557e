"""`make demo`: train on sample pictures of leaves, serve the model and classify a picture.

The demo does what a user would do: it runs `trainers.run` and `bentoml serve`, and posts a picture.
It needs no internet access.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from service.cli import command_lines
from service.cli.arguments import WRONG_USE, CommandParser
from service.cli.os_errors import explain_error
from service.errors import GraftError, UsageError
from service.system.folders import cache_folder
from service.system.interrupts import INTERRUPTED, TERMINATED, cleanup_on_signal, exit_on_signals
from trainers.dataset.samples import draw_samples

OPTIONS = ("--plugin", "pocket", "--data", "demo", "--strategy", "features")
"""The options of both training runs. Only the head is trained: fine-tuning would take most of the
time, and does not improve the accuracy on these pictures."""
PRETRAINED_OPTIONS = ("--name", "demo")
"""Options of the first run. The model does not get the default name, `classifier`, so that it does
not become the model that `bentoml serve` serves by default."""
RANDOM_OPTIONS = ("--weights", "none", "--name", "from-random")
"""Options of the second run. It starts from random weights, to show how much pretraining helps."""
OUTPUT = Path("artifacts")
START_SECONDS = 120
"""The longest time to wait until the service is ready."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 = done; 1 = a step failed; 2 = wrong use."""
    parser = CommandParser(
        prog="python -m trainers.demo",
        description="Train two models on generated pictures of leaves: `demo` with pretrained "
        "weights and, for comparison, `from-random` with random weights. Then serve `demo` and "
        "classify a picture with it. This takes a few minutes and downloads nothing.",
        epilog="Exit codes: 0 done; 1 a step failed; 2 wrong use.",
    )
    try:
        parser.parse_args(arguments)
    except UsageError as error:
        print(f"demo: {error}", file=sys.stderr)
        return WRONG_USE
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    with exit_on_signals(codes, lambda: "demo: stopped"):
        return run_demo()


def run_demo() -> int:
    """Train twice, serve the first model and classify a picture; return the exit code."""
    try:
        bundle, accuracy = train((*OPTIONS, *PRETRAINED_OPTIONS))
        _, random_accuracy = train((*OPTIONS, *RANDOM_OPTIONS))
        with serve(bundle) as address:
            picture, truth = choose_test_picture(bundle)
            answer = post(f"{address}/predict", picture)
    except (GraftError, OSError) as error:
        print(f"demo: {explain_error(error)}", file=sys.stderr)
        return 1
    print(f"\nPOST {picture.name}, a picture of the class `{truth}`, to /predict:\n")
    print(json.dumps(answer, indent=2))
    training = command_lines.python_command(
        "trainers.run", "--plugin", "efficientnet", "--data", "YOUR_FOLDER"
    )
    serving = command_lines.serve_command("classifier:latest")
    figures = {"accuracy": accuracy, "random_accuracy": random_accuracy}
    print(NEXT_STEPS.format(training=training, serving=serving, bundle=bundle, **figures))
    return 0


NEXT_STEPS = """
Test accuracy on generated pictures of leaves: {accuracy:.3f} with pretrained weights of the
backbone, {random_accuracy:.3f} with random weights. Both runs used the same network and split. They
trained only the head, because fine-tuning does not help here. The pretrained weights are part of
Graft. They were trained on other generated pictures, so they help most with such pictures.
For photographs, ImageNet weights are better (plugins/families/pocket/pocket.md has figures).
Now train with your own pictures, one folder per class:

    {training}
    {serving}
    curl -F image=@PICTURE.jpg http://localhost:3000/predict

The report on the model of this demo is {bundle}/report.html"""


def train(options: Sequence[str]) -> tuple[Path, float]:
    """Run `trainers.run`; return the path of the bundle and the test accuracy of its model.

    Raises:
        GraftError: the training failed.
    """
    arguments = [*options, "--output", str(OUTPUT)]
    print("\n$ python -m trainers.run", *arguments, flush=True)
    command = [sys.executable, "-m", "trainers.run", *arguments]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run,
        cleanup_on_signal(run.terminate),
    ):
        output, _ = run.communicate()
    if run.returncode:
        raise GraftError(
            f"training ended with exit code {run.returncode}; the messages above say why"
        )
    bundle = Path(output.strip().splitlines()[-1])
    metrics = json.loads((bundle / "metrics.json").read_text(encoding="utf-8"))
    return bundle, metrics["test"]["accuracy"]


@contextmanager
def serve(bundle: Path) -> Iterator[str]:
    """Run `bentoml serve` on a free port of this machine; yield its address once it is ready.

    Raises:
        GraftError: the service ended, or was not ready within START_SECONDS.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    print(f"\n$ GRAFT_MODEL={bundle} bentoml serve --port {port}", flush=True)
    command = [sys.executable, "-m", "bentoml", "serve", "service.app:Classifier"]
    environment = {**os.environ, "GRAFT_MODEL": str(bundle), "BENTOML_DO_NOT_TRACK": "True"}
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with (
        subprocess.Popen(command, env=environment) as server,
        cleanup_on_signal(server.terminate),
    ):
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def wait_until_ready(address: str, server: subprocess.Popen[bytes]) -> None:
    """Send GET requests to /readyz until the service responds with status 200.

    Raises:
        GraftError: the service ended, or was not ready within START_SECONDS.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise GraftError(
        f"the service ended, or was not ready within {START_SECONDS} seconds; the messages above "
        "say why"
    )


def choose_test_picture(bundle: Path) -> tuple[Path, str]:
    """Return the path and the class of the first test picture in the split.csv of a bundle."""
    with (bundle / "split.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    return draw_samples(cache_folder()) / rows[0]["path"], rows[0]["class"]


def post(url: str, picture: Path) -> object:
    """Send a JPEG file as the body of a POST request; return the JSON of the response."""
    headers = {"Content-Type": "image/jpeg"}
    request = urllib.request.Request(url, data=picture.read_bytes(), headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())


if __name__ == "__main__":
    sys.exit(main())
