"""Shows results: HTML reports with plots as inline SVG, and log files for TensorBoard.

In: the metrics and predictions of a model, and its dataset; or a comparison of backbones. Out: one
HTML page without scripts or links, which needs no other file. For TensorBoard, in: the losses and
accuracies of a run. Out: event files.
May use: trainers.{dataset, dataset.splits, evaluation}, service.{bundle, cli, errors}.
"""
