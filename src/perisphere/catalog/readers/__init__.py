"""One reader per published layout, and :func:`read`, which checks what they list."""

from perisphere.catalog.readers.read import READERS, Reader, read, reader_options

__all__ = ["READERS", "Reader", "read", "reader_options"]
