"""The bundle: the folder that training writes and serving reads.

A bundle is the only contract between training and serving.
The golden answers of a bundle are the probabilities of a few pictures, recorded at export.
Start at `signature.load_verified`, with which the service loads a bundle. It then loads the
bundle's model with `service.engine.device.load_predictor`.
In: a folder with a manifest, or a tag of BentoML's model store.
Out: a `Bundle` whose files are complete and unaltered, or a `BundleError`.
May use: service.{cli, errors, imaging, system}.
"""
