"""How a generated collection lies on disk: the layouts of published data sets, by name."""

from perisphere.catalog.scenes.layouts.benchmarks import Oxford5k, Paris6k, Revisited
from perisphere.catalog.scenes.layouts.cifar import Cifar
from perisphere.catalog.scenes.layouts.cub import Cub
from perisphere.catalog.scenes.layouts.fashion import Fashion
from perisphere.catalog.scenes.layouts.folders import Folders
from perisphere.catalog.scenes.layouts.gldv2 import Gldv2
from perisphere.catalog.scenes.layouts.layout import Layout
from perisphere.catalog.scenes.layouts.market1501 import Market1501
from perisphere.catalog.scenes.layouts.tags import Tags
from perisphere.catalog.scenes.layouts.wikiscenes import WikiScenes

LAYOUTS: dict[str, type[Layout]] = {
    "folders": Folders,
    "oxford5k": Oxford5k,
    "paris6k": Paris6k,
    "revisited": Revisited,
    "gldv2": Gldv2,
    "cifar": Cifar,
    "cub": Cub,
    "market1501": Market1501,
    "fashion": Fashion,
    "tags": Tags,
    "wikiscenes": WikiScenes,
}
"""Name -> class that writes it."""

__all__ = [
    "LAYOUTS",
    "Cifar",
    "Cub",
    "Fashion",
    "Folders",
    "Gldv2",
    "Layout",
    "Market1501",
    "Oxford5k",
    "Paris6k",
    "Revisited",
    "Tags",
    "WikiScenes",
]
