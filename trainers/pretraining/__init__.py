"""Makes the weights of the `pocket` backbone by training it to classify drawn pictures.

The pictures are drawn by formulas. Training runs do not use this package.
In: a `PretrainingConfig`. Out: a weights file such as the one in plugins/families/pocket.
May use: trainers.{cli, hardware, model, progress, workspace}, plugins.{copying, registry},
service.{bundle, cli, errors, system}.
"""
