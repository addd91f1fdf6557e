"""The classifier as a Keras network, and any network as an ONNX graph.

In: a backbone and a head. Out: a `Classifier`; an ONNX model.
May use: plugins.{base, copying}, service.errors.
"""
