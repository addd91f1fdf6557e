"""BentoML as in its documentation: a batchable method that takes Pillow pictures."""

import json
import os

import bentoml
import numpy as np
import onnxruntime
from PIL.Image import Image


@bentoml.service(name="stock")
class Classifier:
    def __init__(self) -> None:
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"])
        self.classes = json.loads(os.environ["BENCH_CLASSES"])
        self.size = int(os.environ["BENCH_SIZE"])

    @bentoml.api(batchable=True)
    def predict(self, image: list[Image]) -> list[dict]:
        size = (self.size, self.size)
        images = np.stack([np.asarray(picture.convert("RGB").resize(size)) for picture in image])
        answers = []
        for row in self.session.run(["probabilities"], {"images": images})[0]:
            best = int(row.argmax())
            answers.append({"label": self.classes[best], "score": float(row[best])})
        return answers
