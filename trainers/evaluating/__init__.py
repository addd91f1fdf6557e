"""Measures a finished model on any labelled folder, through the code that answers HTTP requests.

In: a bundle and the files of a folder. Out: a folder with a page, metrics.json and predictions.csv.
`evaluation_set` chooses the pictures, `classifying` asks the model, `measuring` computes the
figures, and `writing` makes the folder.
May use: trainers.{cache, dataset, dataset.findings, dataset.folders, dataset.splits, evaluation,
multi_label, progress, reporting}, service.{bundle, engine, errors, scoring, settings}.
"""
