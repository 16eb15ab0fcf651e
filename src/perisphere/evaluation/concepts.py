"""What a photo shows, as far as protocols of several right answers ask: its concepts, or else its label."""

import polars as pl

from perisphere.errors import PerisphereError
from perisphere.evaluation.points import Points


def concepts_of(points: Points) -> list[list[str]]:
    """Return the concepts of each photo; the label counts as the one concept of a photo without any.

    Raises:
        PerisphereError: no photo has a concept or a label.
    """
    rows = points.rows
    label = (
        pl.when(pl.col("label").is_null())
        .then(pl.lit([], pl.List(pl.String)))
        .otherwise(pl.concat_list("label"))
    )
    concepts = (
        pl.col("concepts").fill_null([]) if "concepts" in rows.columns else pl.lit([], pl.List(pl.String))
    )
    chosen = pl.when(concepts.list.len() > 0).then(concepts).otherwise(label)
    found: list[list[str]] = rows.select(chosen.alias("concepts"))["concepts"].to_list()
    if not any(found):
        raise PerisphereError(
            f"{points.source}: no photo has concepts or a label, so nothing is right or wrong; read the "
            "photos with a format that gives them, such as `perisphere read tags`."
        )
    return found
