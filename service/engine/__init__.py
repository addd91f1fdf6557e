"""Run models with ONNX Runtime: decode pictures in threads, and classify them in batches.

Start at `device.load_predictor`: the service calls it with the bundle that
`service.bundle.signature.load_verified` has returned.
In: a `Bundle`, settings, and pictures. Out: a `Predictor`, a `Scheduler` that calls it, the fastest
number of sessions, threads and pictures per batch, and probabilities.
May use: service.{bundle, errors, imaging, settings, system}.
"""
