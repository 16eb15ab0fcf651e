"""Catalogs of photos: reading, checking, splitting, showing, generating."""

from perisphere.catalog.catalog import Catalog, Skipped
from perisphere.catalog.images import ImageError, ImageInfo, decode, probe

__all__ = ["Catalog", "ImageError", "ImageInfo", "Skipped", "decode", "probe"]
