"""Checks what training and export expect of a backbone: `python -m trainers.conformance NAME`.

Each expectation is called a promise of the backbone. In: the name of a backbone. Out: one line per
promise, and exit code 0 if all promises are kept.
May use: trainers.{exporting, model}, plugins.{base, copying, registry}, service.{cli, errors}.
"""
