"""The bundle: a folder that training writes and serving reads, the only contract between them.

Golden answers, which every bundle has, are the probabilities of a few pictures, recorded at export.
Start at `signature.load_verified`: the service loads a bundle with it, and then the bundle's model
with `service.engine.device.load_predictor`.
In: a folder with a manifest, or a tag of BentoML's model store.
Out: a `Bundle` whose files are complete and unaltered, or a `BundleError`.
May use: service.{cli, errors, imaging, system}.
"""
