"""Reads tables of labels in Apache Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import format_names
from trainers.dataset.tables.json_exports import Cells, as_text

SUFFIXES: Final = (".parquet",)


def read_rows(table: Path) -> Iterator[Cells]:
    """Yield the cells of each row. Columns of bytes, lists or structures are left out.

    Raises:
        DataError: the package pyarrow is not installed, the file is damaged, several columns have
            the same name, or no column has text or numbers.
        OSError: the file cannot be opened.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            f"--data {table}: Parquet needs the package pyarrow, which is not installed: install "
            "it (.venv/bin/python -m pip install '.[parquet]'), or save the table as CSV"
        ) from error
    with table.open("rb") as source:
        try:
            file = parquet.ParquetFile(source)
            fields = list(file.schema_arrow)
            names = [field.name for field in fields if _is_used(field)]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise DataError(f"--data {table} has several columns called {format_names(twice)}")
            if not names:
                raise DataError(
                    f"--data {table} has no column of text or numbers (its columns: "
                    f"{format_names([field.name for field in fields])}): it needs one with the "
                    "paths of the pictures, and one with the classes"
                )
            for batch in file.iter_batches(columns=names):
                for row in batch.to_pylist():
                    yield {name: as_text(name, cell) for name, cell in row.items()}
        except (arrow.ArrowException, OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(f"--data {table} is not a readable Parquet file: {reason}") from error


def _is_used(field: Any) -> bool:
    """Whether a column has text or numbers, and is not the index that pandas writes."""
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    is_bytes = (
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    )
    return not (is_bytes or types.is_nested(kind) or field.name.startswith("__index_level_"))
