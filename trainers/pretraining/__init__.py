"""Makes the weights of the `pocket` backbone: a network learns to classify drawn pictures.

In: a `PretrainingConfig`. Out: the weights file that lies in plugins/families/pocket.
May use: trainers.{cli, hardware, model, progress, workspace}, plugins.{copying, registry},
service.{bundle, cli, errors, system}.
"""
