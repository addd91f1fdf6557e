"""How the weights of the `pocket` backbone were made: it learns to tell drawn pictures apart.

In: formulas that draw pictures. Out: the weights file that lies in plugins/families/pocket.
May use: trainers.{model, hardware, progress, workspace}, plugins, service.{errors, system, cli}.
"""
