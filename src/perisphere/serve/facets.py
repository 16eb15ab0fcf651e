"""How many images have each value of a column."""

from typing import Any

from perisphere.errors import UsageError, nearest
from perisphere.index import Index
from perisphere.serve.about import FILTERS

MOST = 50


def facets(index: Index, columns: list[str], where: str | None) -> dict[str, Any]:
    """Return for each column its most frequent values with their counts, and how many images pass.

    Args:
        index: the index.
        columns: their names; of lists each element counts.
        where: a filter, as text.

    Raises:
        UsageError: an unknown column, or a filter that cannot be read.
    """
    for name in columns:
        if name not in FILTERS:
            raise UsageError(
                f"no counts of {name!r}: ask for {', '.join(FILTERS)}.{nearest(name, list(FILTERS))}"
            )
    found = {name: index.counts(name, where or None, most=MOST) for name in dict.fromkeys(columns)}
    return {
        "images": len(index.ids(where)) if where else len(index),
        "columns": {
            name: [{"value": value, "count": count} for value, count in counts]
            for name, counts in found.items()
        },
    }
