"""The servers to compare: Graft with default settings, and others in their own environments."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.serving.server import ROOT, Contender
from service.bundle.reading import Bundle

PEERS = ROOT / "artifacts/peers/bin"
MLSERVER = ROOT / "artifacts/peers-mlserver/bin"
"""MLServer has a separate environment, because it needs an older FastAPI than Ray Serve."""
_HERE = Path(__file__).parent / "peers"


def graft(
    bundle: Bundle, folder: Path, name: str = "Graft", settings: Mapping[str, str] | None = None
) -> Contender:
    """Describe how to start Graft with default settings, except for the model and the folders.

    Args:
        folder: a folder for temporary files.
        name: the name in tables and charts.
        settings: more environment variables, for example GRAFT_MAX_BATCH_SIZE.
    """
    store = folder / "bentoml"
    store.mkdir(exist_ok=True)
    return Contender(
        name,
        "`bentoml serve`, default settings",
        lambda port: [
            *(sys.executable, "-m", "bentoml", "serve", "service.app:Classifier"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ],
        {
            "GRAFT_MODEL": str(bundle.path),
            "BENTOML_HOME": str(store),
            "GRAFT_CACHE": str(folder / "cache"),
            "BENTOML_DO_NOT_TRACK": "True",
            **(settings or {}),
        },
        decoder="graft",
        ready="/readyz",
    )


def peers(bundle: Bundle, folder: Path) -> list[Contender]:
    """Describe how to start every other server, whether it is installed or not."""
    model = {
        "BENCH_MODEL": str(bundle.model_path.resolve()),
        "BENCH_CLASSES": json.dumps(list(bundle.manifest.classes)),
        "BENCH_SIZE": str(bundle.manifest.input.size),
        "PYTHONPATH": f"{ROOT}:{_HERE}",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    stock = {**model, "BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    ray = {**model, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
    uvicorn = ("-m", "uvicorn", "--host", "127.0.0.1", "--no-access-log", "--port")
    loops = ("--loop", "uvloop", "--http", "httptools")
    return [
        Contender(
            "FastAPI, tuned",
            "raw body, Graft's decoder, one-thread session, a thread for each core, uvloop",
            lambda port: [_python(PEERS), *uvicorn, str(port), *loops, "fastapi_tuned:app"],
            model,
            decoder="graft",
        ),
        Contender(
            "FastAPI, as in tutorials",
            "UploadFile, Pillow, session with default threads, `def` endpoint",
            lambda port: [_python(PEERS), *uvicorn, str(port), "fastapi_plain:app"],
            model,
            body="image",
        ),
        Contender(
            "LitServe",
            "UploadFile, Pillow, a worker of one thread for each core",
            lambda port: [_python(PEERS), str(_HERE / "litserve_peer.py"), str(port)],
            model,
            body="request",
            ready="/health",
        ),
        Contender(
            "LitServe, batching",
            "as LitServe, in batches of up to 8, collected for up to 5 ms",
            lambda port: [_python(PEERS), str(_HERE / "litserve_peer.py"), str(port), "8"],
            model,
            body="request",
            ready="/health",
        ),
        Contender(
            "BentoML, stock",
            "batchable method, Pillow pictures, session with default threads",
            lambda port: [
                *(_python(PEERS), "-m", "bentoml", "serve", "stock_bentoml:Classifier"),
                *("--working-dir", str(_HERE), "--host", "127.0.0.1", "--port", str(port)),
            ],
            stock,
            body="image",
            ready="/readyz",
        ),
        Contender(
            "Ray Serve",
            "raw body, Pillow, a replica of one thread for each core",
            lambda port: [_python(PEERS), str(_HERE / "ray_serve.py"), str(port)],
            ray,
            ready="/-/healthz",
            is_pausable=False,
        ),
        Contender(
            "MLServer",
            "V2 protocol with base64, Pillow, a worker of one thread for each core",
            lambda port: [_python(MLSERVER), str(_HERE / "mlserver_start.py"), str(port)],
            model,
            body="v2",
            path="/v2/models/classifier/infer",
            ready="/v2/models/classifier/ready",
        ),
    ]


def _python(environment: Path) -> str:
    return str(environment / "python")
