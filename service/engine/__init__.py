"""Run models with ONNX Runtime: sessions, threads, batches and devices.

In: a `Bundle` and settings; pictures. Out: a `Predictor`, a `Scheduler` that calls it, and the
fastest configuration for this machine; probabilities.
May use: service.{bundle, errors, imaging, settings, system}.
"""
