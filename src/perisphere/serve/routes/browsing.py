"""What there is in the index: its facts, its classes, and how many images have each value."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from perisphere.serve.about import about
from perisphere.serve.answers import listing
from perisphere.serve.classes import class_tree
from perisphere.serve.facets import facets
from perisphere.serve.service import Service
from perisphere.serve.wire import MOST_RESULTS, Where


def browsing(service: Service) -> APIRouter:
    """Return the routes of ``service``."""
    router = APIRouter(tags=["browse"])

    @router.get("/about")
    def facts() -> dict[str, Any]:
        """Return what the index holds, and what can be asked here."""
        return about(service)

    @router.get("/classes")
    def classes() -> dict[str, Any]:
        """Return the classes as a tree, with how many images there are in each."""
        network = service.network
        points = network.encoder.classes if network.has_classes and network.encoder is not None else None
        return {"nodes": class_tree(service.index, points)}

    @router.get("/images")
    def listed(
        where: Where | None = None,
        k: Annotated[int, Query(ge=1, le=MOST_RESULTS)] = 50,
    ) -> dict[str, Any]:
        """Return the first images that pass a filter, as a search returns its results."""
        return listing(service.index, where or None, k)

    @router.get("/facets")
    def counts(
        columns: Annotated[str, Query(max_length=500)] = "label",
        where: Where | None = None,
    ) -> dict[str, Any]:
        """Return how many images have each value of columns, the most frequent first."""
        return facets(service.index, columns.split(","), where)

    return router
