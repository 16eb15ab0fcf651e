"""What a photo shows, as far as protocols of several right answers ask: its concepts, or else its label."""

import polars as pl

from perisphere.catalog.catalog import concepts_of as shown_by
from perisphere.errors import PerisphereError
from perisphere.evaluation.points import Points


def concepts_of(points: Points) -> list[list[str]]:
    """Return the concepts of each photo; the label counts as the one concept of a photo without any.

    Raises:
        PerisphereError: no photo has a concept or a label.
    """
    rows = points.rows
    if "concepts" not in rows.columns:  # vectors from before there were concepts
        rows = rows.with_columns(pl.lit([], pl.List(pl.String)).alias("concepts"))
    found = shown_by(rows)
    if not any(found):
        raise PerisphereError(
            f"{points.source}: no photo has concepts or a label, so nothing is right or wrong; read the "
            "photos with a format that gives them, such as `perisphere read tags`."
        )
    return found
