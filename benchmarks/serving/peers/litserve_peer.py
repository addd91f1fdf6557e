"""LitServe as in its documentation: a form upload, Pillow, a worker process for each core.

Run it as `litserve_peer.py PORT [BATCH]`. With BATCH, a worker collects up to that number of
pictures for at most 5 ms. The session of each worker has one thread; with the default number of
threads, there would be more threads than cores.
"""

import io
import json
import os
import sys

import litserve
import numpy as np
import onnxruntime
from fastapi import UploadFile
from PIL import Image


class Classifier(litserve.LitAPI):
    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
        self.classes = json.loads(os.environ["BENCH_CLASSES"])
        self.size = int(os.environ["BENCH_SIZE"])

    def decode_request(self, request: UploadFile):
        data = request.file.read()
        return np.asarray(
            Image.open(io.BytesIO(data)).convert("RGB").resize((self.size, self.size))
        )

    def predict(self, x):
        images = x if x.ndim == 4 else x[None]
        probabilities = self.session.run(["probabilities"], {"images": images})[0]
        return probabilities if x.ndim == 4 else probabilities[0]

    def batch(self, inputs):
        return np.stack(inputs)

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output):
        best = int(output.argmax())
        return {"label": self.classes[best], "score": float(output[best])}


if __name__ == "__main__":
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    api = Classifier(max_batch_size=batch, batch_timeout=0.005 if batch > 1 else 0.0)
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=len(os.sched_getaffinity(0))
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
