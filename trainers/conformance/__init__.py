"""Checks that a backbone suits training and export: `python -m trainers.conformance NAME`.

A promise is something that training or export expects of every backbone. In: the name of a
backbone. Out: one line per promise, and exit code 0 if all promises are kept.
May use: trainers.{exporting, model}, plugins.{base, copying, registry}, service.{cli, errors,
system}.
"""
