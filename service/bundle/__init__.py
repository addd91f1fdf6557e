"""The bundle, the only contract between training and serving: written by one, read by the other.

In: a folder with a manifest, or a tag of BentoML's model store.
Out: a `Bundle` whose files are complete and unaltered, or a `BundleError`.
May use: service.{cli, errors, imaging, system}.
"""
