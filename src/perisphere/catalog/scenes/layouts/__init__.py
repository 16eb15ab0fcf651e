"""How a generated collection lies on disk: the layouts of published data sets, by name."""

from perisphere.catalog.scenes.layouts.folders import Folders
from perisphere.catalog.scenes.layouts.layout import Layout

LAYOUTS: dict[str, type[Layout]] = {"folders": Folders}
"""Name -> class that writes it."""

__all__ = ["LAYOUTS", "Folders", "Layout"]
