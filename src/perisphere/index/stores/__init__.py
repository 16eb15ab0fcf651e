"""Engines that hold the vectors and rows of an index in place of its own SQLite file."""

from perisphere.index.stores.address import Address, connect, create
from perisphere.index.stores.protocol import Store

__all__ = ["Address", "Store", "connect", "create"]
