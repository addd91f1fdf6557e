"""Run models with ONNX Runtime: decode pictures in threads, and classify them in batches.

Start at `device.load_predictor`, which the service calls with the result of
`service.bundle.signature.load_verified`.
In: a `Bundle`, settings, and pictures. Out: a `Predictor`, a `Scheduler` that calls it, the fastest
session configuration, and probabilities.
May use: service.{bundle, errors, imaging, settings, system}.
"""
