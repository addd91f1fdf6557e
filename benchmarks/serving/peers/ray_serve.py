"""Ray Serve as in its documentation: a replica for each core, the picture as the body, Pillow.

The session of each replica has one thread; with the default number of threads, there would be more
threads than cores.
"""

import io
import json
import os

import numpy as np
import onnxruntime
from PIL import Image
from ray import serve
from starlette.requests import Request


@serve.deployment(
    num_replicas=len(os.sched_getaffinity(0)),
    ray_actor_options={"num_cpus": 1},
    max_ongoing_requests=16,
)
class Classifier:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
        self.classes = json.loads(os.environ["BENCH_CLASSES"])
        self.size = int(os.environ["BENCH_SIZE"])

    async def __call__(self, request: Request):
        data = io.BytesIO(await request.body())
        picture = Image.open(data).convert("RGB").resize((self.size, self.size))
        images = np.asarray(picture)[None]
        probabilities = self.session.run(["probabilities"], {"images": images})[0][0]
        best = int(probabilities.argmax())
        return {"label": self.classes[best], "score": float(probabilities[best])}


if __name__ == "__main__":
    import sys
    import time

    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Classifier.bind(), route_prefix="/predict")
    while True:
        time.sleep(60)
