"""FastAPI as in tutorials: form upload, Pillow, default session threads, `def` endpoint."""

import io
import json
import os

import numpy as np
import onnxruntime
from fastapi import FastAPI, UploadFile
from PIL import Image

app = FastAPI()
session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"])
classes = json.loads(os.environ["BENCH_CLASSES"])
size = int(os.environ["BENCH_SIZE"])


@app.post("/predict")
def predict(image: UploadFile):
    picture = Image.open(io.BytesIO(image.file.read())).convert("RGB").resize((size, size))
    probabilities = session.run(["probabilities"], {"images": np.asarray(picture)[None]})[0][0]
    best = int(probabilities.argmax())
    return {"label": classes[best], "score": float(probabilities[best])}
