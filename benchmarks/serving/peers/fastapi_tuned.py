"""FastAPI, tuned: raw body, Graft's decoder, one-thread session, a worker thread for each core."""

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor

import onnxruntime
from fastapi import FastAPI, Request

from service.imaging import configure_process, decode

configure_process()
app = FastAPI()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
classes = json.loads(os.environ["BENCH_CLASSES"])
size = int(os.environ["BENCH_SIZE"])
pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))


def classify(data: bytes) -> dict[str, object]:
    images = decode(data, size)[None]
    probabilities = session.run(["probabilities"], {"images": images})[0][0]
    best = int(probabilities.argmax())
    return {"label": classes[best], "score": float(probabilities[best])}


@app.post("/predict")
async def predict(request: Request):
    return await asyncio.get_running_loop().run_in_executor(pool, classify, await request.body())
