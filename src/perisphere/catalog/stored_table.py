"""A side table that stays in its file until somebody asks for it: keypoints may be many millions."""

from pathlib import Path

import polars as pl

from perisphere.errors import PerisphereError


class StoredTable:
    """Rows of a Parquet file, some of them or all.

    Args:
        file: with the columns of ``schema``.
        schema: type by column; others are passed over.

    Raises:
        PerisphereError: the file is missing or broken, or a column is missing or of another type.
    """

    def __init__(self, file: Path, schema: dict[str, pl.DataType]) -> None:
        self._file = file
        self._stamp = self._stamped()
        try:
            self._rows = pl.scan_parquet(file)
            has = self._rows.collect_schema()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise _broken(file, error) from error
        for name, kind in schema.items():
            if has.get(name) != kind:
                found = has.get(name, "missing")
                raise PerisphereError(
                    f"{file}: column {name!r} is {found} where {kind} belongs. Read the images again."
                )
        self._rows = self._rows.select(list(schema))

    def filter(self, kept: pl.Expr) -> "StoredTable":
        """Return the rows for which an expression holds; nothing is read yet."""
        other = object.__new__(StoredTable)
        other._file, other._stamp, other._rows = self._file, self._stamp, self._rows.filter(kept)
        return other

    def count(self) -> int:
        """Return the number of rows without reading them."""
        return int(self._collected(self._rows.select(pl.len())).item())

    def read(self) -> pl.DataFrame:
        """Return the rows.

        Raises:
            PerisphereError: the file is broken or gone, or was replaced since it was opened.
        """
        return self._collected(self._rows)

    def write_parquet(self, file: Path) -> None:
        """Write the rows to another file without holding them all, or to the same."""
        if file.exists() and file.samefile(self._file):
            self.read().write_parquet(file)
            return
        self._check()
        try:
            self._rows.sink_parquet(file)
        except pl.exceptions.PolarsError as error:
            raise _broken(self._file, error) from error

    def _collected(self, rows: pl.LazyFrame) -> pl.DataFrame:
        self._check()
        try:
            return rows.collect()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise _broken(self._file, error) from error

    def _check(self) -> None:
        if self._stamped() != self._stamp:
            raise PerisphereError(f"{self._file}: was replaced since the catalog was opened. Open it again.")

    def _stamped(self) -> tuple[int, int, int]:
        """Return what tells one state of the file from another."""
        try:
            status = self._file.stat()
        except OSError as error:
            raise PerisphereError(
                f"{self._file}: missing. Read the images again with `perisphere read`."
            ) from error
        return status.st_ino, status.st_mtime_ns, status.st_size


def _broken(file: Path, error: Exception) -> PerisphereError:
    return PerisphereError(f"{file}: broken ({' '.join(str(error).split())}). Read the images again.")
