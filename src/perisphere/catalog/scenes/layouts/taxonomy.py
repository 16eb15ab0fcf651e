"""The landmarks' taxonomy, with the names that the reader of a layout gives them."""

from collections.abc import Callable

from perisphere.catalog.scenes.world import Landmark

ROOT = "root"


def taxonomy(landmarks: list[Landmark], label: Callable[[Landmark], str]) -> str:
    """Return a line ``parent<TAB>child`` an edge, from ``root`` down; a style's node is ``family/style``."""
    edges: list[tuple[str, str]] = []
    for landmark in landmarks:
        style = f"{landmark.family}/{landmark.style}"
        edges += [(ROOT, landmark.family), (landmark.family, style), (style, label(landmark))]
    return "".join(f"{parent}\t{child}\n" for parent, child in dict.fromkeys(edges))
