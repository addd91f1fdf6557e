"""Reads tables of labels: CSV, JSON and Parquet files that give the class of each picture.

In: one or several tables. Out: a `Scan` with the class, split and group of each picture, or a
`DataError`.
The order of the steps: `discovery` finds the tables of a folder, `records` reads the cells,
`columns` chooses the columns, `labels` converts each record to a `Label`, `locating` finds or
downloads the files of the pictures, and `pictures` lists them.
May use: trainers.{dataset.folders, progress}, service.system.
"""
