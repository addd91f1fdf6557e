"""RGB pictures in, probabilities out: ONNX Runtime, its sessions, threads, batches and devices.

In: a `Bundle` and settings. Out: a `Predictor`, a `Scheduler` in front of it, and the fastest
configuration for this machine.
May use: service.{bundle, errors, imaging, settings, system}.
"""
