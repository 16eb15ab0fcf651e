"""The generated photo collection: landmarks in 3-D, and photos with all that is true of them."""

from perisphere.catalog.scenes.collection import ScenesSummary, write_scenes
from perisphere.catalog.scenes.layouts import LAYOUTS
from perisphere.catalog.scenes.parts import PARTS
from perisphere.catalog.scenes.photo import DIFFICULTIES, Photo, take_photo
from perisphere.catalog.scenes.world import Landmark, landmark

__all__ = [
    "DIFFICULTIES",
    "LAYOUTS",
    "PARTS",
    "Landmark",
    "Photo",
    "ScenesSummary",
    "landmark",
    "take_photo",
    "write_scenes",
]
