"""A table of what each query found, the worst first, for other programs and for a closer look."""

from pathlib import Path

import numpy as np
import polars as pl

from perisphere.errors import UsageError
from perisphere.evaluation.reid import JudgedReid
from perisphere.storage import whole_file

KEPT = ("path", "label", "camera", "domain")
ENDINGS = (".parquet", ".csv")


def per_query(judged: JudgedReid) -> pl.DataFrame:
    """Return one row a query, that of lowest average precision first; skipped queries come last.

    Columns: ``id``, those of ``path``, ``label``, ``camera`` and ``domain`` that are known,
    ``average_precision``, ``inp`` and ``first_right`` (rank of the first right answer), null for a skipped
    query, and ``right`` (number of right answers). ``first_right`` is null, too, where a re-ranked list holds
    no right answer.
    """
    figures, rows = judged.figures, judged.asked.rows
    first = figures.first_right
    table = rows.select("id", *[name for name in KEPT if name in rows.columns]).with_columns(
        pl.Series("average_precision", figures.average_precision).fill_nan(None),
        pl.Series("inp", figures.inp).fill_nan(None),
        pl.Series("first_right", [int(rank) if np.isfinite(rank) else None for rank in first], pl.Int64),
        pl.Series("right", figures.ranks.counts),
    )
    return table.sort("average_precision", nulls_last=True, maintain_order=True)


def check_table(path: Path) -> None:
    """Refuse the name of a table that is neither Parquet nor CSV, before the work.

    Raises:
        UsageError: names the endings there are.
    """
    if Path(path).suffix.lower() not in ENDINGS:
        raise UsageError(f"{path}: a table of queries ends in {' or '.join(ENDINGS)}; name it so.")


def write_per_query(judged: JudgedReid, path: Path) -> Path:
    """Write :func:`per_query` as Parquet or CSV, whole or not at all.

    Raises:
        UsageError: the name ends in neither ``.parquet`` nor ``.csv``.
        PerisphereError: the file cannot be written.
    """
    check_table(path)
    with whole_file(Path(path)) as part:
        table = per_query(judged)
        if Path(path).suffix.lower() == ".csv":
            table.write_csv(part)
        else:
            table.write_parquet(part)
    return Path(path)
