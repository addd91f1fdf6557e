"""Reads tables of labels: CSV files and JSON files that give the class of each picture.

In: the path of a table. Out: the class, split and group of each picture, with its place in the
table, or a `DataError`.
The order of the steps: `records` reads the cells, `columns` chooses the columns, `labels` converts
each record to a `Label`, and `locating` finds the files of the pictures.
May use: trainers.dataset.folders.
"""
