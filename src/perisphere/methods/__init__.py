"""One file per training method."""

from perisphere.methods.landmark import Landmark

__all__ = ["Landmark"]
