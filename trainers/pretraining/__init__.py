"""Makes the weights of the `pocket` backbone: a network learns to classify drawn pictures.

In: a `PretrainingConfig`. Out: the weights file that lies in plugins/families/pocket.
May use: trainers.{model, hardware, progress, workspace}, plugins, service.{bundle, errors,
system, cli}.
"""
