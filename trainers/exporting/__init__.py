"""The trained classifier -> ONNX, SavedModel and a sealed bundle, if all of them agree.

In: a `Classifier`, its dataset and its history. Out: a bundle, complete or absent, in the store.
May use: every room of trainers but cli, comparing and conformance; service.{bundle, cli, engine,
imaging, errors}.
"""
