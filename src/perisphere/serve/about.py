"""What an index holds, and what can be asked of its service."""

from typing import Any

from perisphere.index.filters import COLUMNS
from perisphere.serve.answers import relevance_score
from perisphere.serve.service import Service

FILTERS = ("label", "split", "camera", "domain", "tags", "categories", "concepts", "regions")
"""Columns whose values are worth choosing from."""


def about(service: Service) -> dict[str, Any]:
    """Return the facts that the page is built from, plain values."""
    index, settings = service.index, service.settings
    encoder = index.encoder()
    regions = index.regions.about() is not None
    calibration = index.calibration
    filled = service.filled(FILTERS)
    return {
        "name": service.name,
        "images": len(index),
        "dim": index.dim,
        "metric": index.metric,
        "centroids": index.centroids_kept,
        "can": {
            "photos": encoder is not None,
            "words": True,
            "text": service.text_kind(),
            "classes": encoder is not None and encoder.classes is not None,
            "regions": regions,
            "match": service.has_photos(),
            "masks": regions,
            "add": not settings.read_only,
            "urls": bool(settings.url_hosts),
        },
        "columns": [{"name": name, "kind": COLUMNS[name]} for name in filled],
        "calibration": {
            "precisions": calibration is not None and calibration.metric == index.metric,
            "relevance": relevance_score(index, index.metric),
        },
    }
