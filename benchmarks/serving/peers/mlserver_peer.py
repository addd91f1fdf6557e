"""MLServer as in its documentation: a custom runtime that gets base64 through the V2 protocol.

Each core has a worker process, with a one-thread session.
"""

import io
import json
import os

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from PIL import Image


class Classifier(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
        self.classes = json.loads(os.environ["BENCH_CLASSES"])
        self.size = int(os.environ["BENCH_SIZE"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (data,) = self.decode(payload.inputs[0])
        picture = Image.open(io.BytesIO(data)).convert("RGB").resize((self.size, self.size))
        images = np.asarray(picture)[None]
        probabilities = self.session.run(["probabilities"], {"images": images})[0][0]
        best = int(probabilities.argmax())
        answer = {"label": self.classes[best], "score": float(probabilities[best])}
        output = StringCodec.encode_output("answer", [json.dumps(answer)])
        return InferenceResponse(model_name=self.name, outputs=[output])
