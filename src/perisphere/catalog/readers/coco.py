"""JSON files in the manner of COCO: lists of objects, of which a reader keeps few fields."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from perisphere.errors import PerisphereError


def parse(file: Path, lists: Sequence[str], kept: frozenset[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the file's content, its lists' objects with the kept fields alone.

    The rest is many times as large, so it is dropped while the file is parsed.

    Args:
        file: an object with at least these lists.
        lists: names of the lists that must be there.
        kept: names of the fields.

    Raises:
        PerisphereError: the file is missing, no JSON, or lacks a list.
    """

    def slim(entry: dict[str, Any]) -> dict[str, Any]:
        return entry if lists[0] in entry else {name: entry[name] for name in kept & entry.keys()}

    content = load(file, slim)
    for name in lists:
        if not is_list(content.get(name) if isinstance(content, dict) else None):
            raise PerisphereError(f"{file}: holds no list {name!r}. Is it another data set's file?")
    return content


def load(file: Path, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Return what a JSON file holds; each object is what ``hook`` makes of it.

    Raises:
        PerisphereError: the file is missing, cannot be read or is no JSON.
    """
    try:
        with file.open("rb") as data:
            return json.load(data, object_hook=hook)
    except FileNotFoundError:
        raise PerisphereError(f"{file}: missing. Is the data set complete?") from None
    except OSError as error:
        raise PerisphereError(f"{file}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise PerisphereError(
            f"{file}: no JSON ({' '.join(str(error).split())[:200]}). Get it again."
        ) from error


def is_list(entries: object) -> bool:
    """Tell whether a value of JSON is a list of objects."""
    return isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)


def is_number(value: object) -> bool:
    """Tell whether a value of JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def corners(left: float, top: float, width: float, height: float) -> list[int] | None:
    """Return x0, y0, x1, y1 in whole pixels, cut down as published, x1 and y1 outside.

    ``None`` where less than a pixel is left of the width or the height.
    """
    x, y, w, h = int(left), int(top), int(width), int(height)
    return [x, y, x + w, y + h] if w >= 1 and h >= 1 else None
