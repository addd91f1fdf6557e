"""Writes MLServer's two settings files, as its documentation says, and starts MLServer."""

import json
import os
import sys
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp(prefix="graft-bench-mlserver-"))
port = int(sys.argv[1])
settings = {
    "host": "127.0.0.1",
    "http_port": port,
    "grpc_port": port + 1,
    "metrics_endpoint": None,
    "parallel_workers": len(os.sched_getaffinity(0)),
    "debug": False,
}
model = {"name": "classifier", "implementation": "mlserver_peer.Classifier"}
(folder / "settings.json").write_text(json.dumps(settings))
(folder / "model-settings.json").write_text(json.dumps(model))
command = Path(sys.executable).with_name("mlserver")
os.execv(command, [str(command), "start", str(folder)])
