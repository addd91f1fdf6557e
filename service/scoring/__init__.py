"""Use a model without HTTP: classify files and folders, or load the model in a Python program.

In: paths or pictures. Out: one row per picture as text, JSON lines or CSV; in Python, a
`Prediction` or an `Explanation`.
May use: service.{bundle, engine, errors, explanation, imaging, schemas, settings, system}.
"""
