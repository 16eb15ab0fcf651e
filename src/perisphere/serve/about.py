"""What an index holds, and what can be asked of its service."""

from collections.abc import Sequence
from typing import Any

from perisphere.index import Index
from perisphere.index.filters import COLUMNS, IsNull, Not
from perisphere.serve.answers import relevance_score
from perisphere.serve.service import Service

FILTERS = ("label", "split", "camera", "domain", "tags", "categories", "concepts", "regions")
"""Columns whose values are worth choosing from."""


def about(service: Service) -> dict[str, Any]:
    """Return the facts that the page is built from, plain values."""
    index, settings, network = service.index, service.settings, service.network
    regions = index.regions.about() is not None
    calibration = index.calibration
    return {
        "name": service.name,
        "images": len(index),
        "dim": index.dim,
        "metric": index.metric,
        "centroids": index.centroids_kept,
        "can": {
            "photos": bool(network.described),
            "words": True,
            "text": network.texts,
            "classes": network.has_classes,
            "regions": regions,
            "match": next(iter(index.paths()), None) is not None,
            "masks": regions,
            "add": not settings.read_only,
            "urls": bool(settings.url_hosts),
        },
        "columns": [{"name": name, "kind": COLUMNS[name]} for name in _filled(index, FILTERS)],
        "calibration": {
            "precisions": calibration is not None and calibration.metric == index.metric,
            "relevance": relevance_score(index, index.metric),
        },
    }


def _filled(index: Index, columns: Sequence[str]) -> list[str]:
    """Return those of columns that some image has a value of."""
    return [name for name in columns if len(index.ids(Not(IsNull(name))))]
