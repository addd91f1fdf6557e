"""What the service learns about its own traffic and models while it answers.

In: pictures that were answered, and their answers. Out: metrics and log lines, never an answer.
May use: service.{bundle, engine, errors, imaging, metrics, settings, system}.
"""
