"""The bundle: a folder that training writes and serving reads, the only contract between them.

In: a folder with a manifest, or a tag of BentoML's model store.
Out: a `Bundle` whose files are complete and unaltered, or a `BundleError`.
May use: service.{cli, errors, imaging, system}.
"""
