"""The classifier as a Keras model, and the conversion of networks to ONNX.

In: a backbone and a head. Out: a `Classifier`, and an ONNX model.
May use: plugins.{base, copying}, service.errors.
"""
