"""One file per family of networks; the registry imports every module of this package.

In: a variant's name, an input size, and weights (a file, or Keras' download).
Out: a `Backbone` that the trainer can load, freeze and thaw.
May use: plugins.{base, registry, scaling, weights, copying} and keras.
"""
