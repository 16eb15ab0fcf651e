"""Perisphere: learn, compress and search image embeddings on the unit sphere."""

from importlib.metadata import version

__version__ = version("perisphere")
