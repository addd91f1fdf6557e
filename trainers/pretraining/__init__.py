"""Makes the weights of the `pocket` backbone: a network learns to classify drawn pictures.

In: a `PretrainingConfig`. Out: a file of weights for plugins.families.pocket.
May use: trainers.{hardware, model, progress, workspace}, plugins, and of the service bundle, cli,
errors, system.
"""
