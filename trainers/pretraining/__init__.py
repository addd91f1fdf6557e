"""Makes the weights of the `pocket` backbone by training it to classify drawn pictures.

Nothing here is used by training runs. In: a `PretrainingConfig`. Out: the weights file in
plugins/families/pocket.
May use: trainers.{cli, hardware, model, progress, workspace}, plugins.{copying, registry},
service.{bundle, cli, errors, system}.
"""
