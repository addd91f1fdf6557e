"""Does a backbone keep its promises? `python -m trainers.conformance NAME` tries them all.

In: the name of a backbone. Out: one line per promise, and exit code 0 if all are kept.
May use: trainers.{exporting, model}, plugins.{base, copying, registry}, service.errors.
"""
