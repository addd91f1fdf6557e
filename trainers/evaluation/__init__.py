"""How good an exported model is, and which of two models is better.

In: a predictor and labelled pictures. Out: metrics, and paired comparisons of answers.
May use: trainers.{dataset, resources, progress}, service.{bundle, engine, cli, errors}.
"""
