"""One module per family of networks. The registry imports every module of this package.

In: the name of a variant, an input size, and weights (of Keras, of Graft, from a file, or random).
Out: a `Backbone` that the training code can load, freeze and unfreeze.
May use: plugins.{base, copying, registry, scaling}.
"""
