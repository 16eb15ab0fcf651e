"""One file per training method."""

from perisphere.methods.landmark import Landmark
from perisphere.methods.tuples import Tuples

__all__ = ["Landmark", "Tuples"]
