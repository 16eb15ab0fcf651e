"""The tree of categories that WikiScenes is: numbered folders, each with ``category.json`` and ``pictures/``.

Source: Wu et al., "Towers of Babel", ICCV 2021; the published data set.
"""

import json
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.images import SUFFIXES, display
from perisphere.catalog.readers.listing import Listing, is_utf8
from perisphere.catalog.readers.wikiscenes_lists import spelling

CATEGORY = "category.json"
PICTURES = "pictures"
_MAX_BYTES = 64 << 20  # of a category.json

UNNAMED = "folder that category.json does not name"
UNDESCRIBED = "picture that category.json does not name"
RESPELLED = "picture found in another spelling"


@dataclass(frozen=True)
class Picture:
    """A photo of the tree.

    Attributes:
        path: of the file, from the root of the data set, with ``/``.
        number: of the landmark, the name of its folder; ``None`` for a photo above the landmarks.
        categories: names from the landmark down to the leaf.
        caption: in any script; ``None`` where there is none.
        url: of the photo's page; ``None`` where there is none.
        properties: what was computed for the photo and its caption, as JSON; ``None`` where that is nothing.
    """

    path: str
    number: str | None
    categories: tuple[str, ...]
    caption: str | None
    url: str | None
    properties: str | None = None


@dataclass(frozen=True)
class _Category:
    """What a ``category.json`` says: name by sub-folder, and entry by name of a picture."""

    names: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, dict[str, Any]] = field(default_factory=dict)


def landmark_names(root: Path, top: str) -> dict[str, str]:
    """Return the name of each landmark by the number of its folder, in the order of the numbers.

    Args:
        root: of the data set.
        top: the folder of the kind, from the root: ``WikiScenes/cathedrals``.
    """
    names = _read(root / top / CATEGORY, Listing(root)).names
    return {number: names[number] for number in sorted(names, key=_order)}


def walk_tree(root: Path, top: str, listing: Listing) -> Iterator[Picture]:
    """Yield the pictures of a tree, each folder's own before those of its sub-folders.

    What is wrong goes to the listing: unreadable folders, broken ``category.json`` and pictures that it names
    and that are not there to ``bad``, other files to ``ignored``, what is merely unnamed or spelled otherwise
    to ``remarks``.

    Args:
        root: of the data set.
        top: the folder of the kind, from the root: ``WikiScenes/cathedrals``.
        listing: where ``unseen`` is set, pictures are taken from ``category.json`` alone.
    """
    yield from _walk(root, top, (), (), listing, ())


def _walk(
    root: Path,
    folder: str,
    numbers: tuple[str, ...],
    names: tuple[str, ...],
    listing: Listing,
    above: tuple[tuple[int, int], ...],
) -> Iterator[Picture]:
    try:
        status = (root / folder).stat()
        entries = sorted(os.scandir(root / folder), key=lambda entry: _order(entry.name))
    except OSError as error:
        reason = f"folder cannot be read ({error.strerror})"
        listing.bad.append(Skipped(display(folder), reason))
        return
    this = (status.st_dev, status.st_ino)
    if this in above:
        listing.ignored.append(Skipped(display(folder), "link back into a folder above it"))
        return
    category = _read(root / folder / CATEGORY, listing)
    for path, entry in _pictures(root, folder, category, listing):
        caption, url = _text(entry.get("caption")), _text(entry.get("url"))
        told = entry.get("properties")
        properties = _encodable(json.dumps(told, ensure_ascii=False)) if told else None
        yield Picture(path, numbers[0] if numbers else None, names, caption, url, properties)
    below = [entry.name for entry in entries if _is_number(entry.name) and entry.is_dir()]
    for number in sorted(category.names.keys() - set(below), key=_order):
        listing.bad.append(Skipped(f"{folder}/{number}", "category without its folder"))
    for number in below:
        name = category.names.get(number)
        if name is None:
            listing.remarks.setdefault(UNNAMED, []).append(f"{folder}/{number}")
        deeper = (*names, number if name is None else name)
        yield from _walk(root, f"{folder}/{number}", (*numbers, number), deeper, listing, (*above, this))


def _pictures(
    root: Path, folder: str, category: _Category, listing: Listing
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and entry of the pictures on one level, in the order of their names."""
    place = f"{folder}/{PICTURES}"
    there = _files(root / place, place, listing)
    spelled = {spelling(name): name for name in there}
    for name, entry in sorted(category.pictures.items()):
        file = name if name in there else spelled.get(spelling(name))
        if file is None:
            if listing.unseen:
                yield f"{place}/{name}", entry
            else:
                listing.bad.append(Skipped(f"{place}/{name}", "picture is missing"))
            continue
        if file != name:
            listing.remarks.setdefault(RESPELLED, []).append(f"{place}/{name}")
        there.discard(file)
        yield f"{place}/{file}", entry
    for name in sorted(there):
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a name, not a path)
        if suffix in SUFFIXES:
            listing.remarks.setdefault(UNDESCRIBED, []).append(f"{place}/{name}")
            yield f"{place}/{name}", {}
        else:
            listing.ignored.append(Skipped(f"{place}/{name}", f"not an image file ({suffix or 'no suffix'})"))


def _files(folder: Path, place: str, listing: Listing) -> set[str]:
    try:
        names = [entry.name for entry in os.scandir(folder) if not entry.is_dir()]
    except FileNotFoundError:
        return set()
    except OSError as error:
        listing.bad.append(Skipped(display(place), f"folder cannot be read ({error.strerror})"))
        return set()
    for name in names:
        if not is_utf8(name):
            listing.bad.append(Skipped(f"{place}/{display(name)}", "name is not UTF-8; rename the file"))
    return {name for name in names if is_utf8(name) and not name.startswith(".")}


def _read(file: Path, listing: Listing) -> _Category:
    """Return what a ``category.json`` says, as far as it has the right form; the rest goes to ``bad``."""
    place = file.relative_to(listing.root).as_posix()
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES >> 20} MiB")
        content = json.loads(file.read_text("utf-8-sig"))
        pairs, pictures = content.get("pairs", {}), content.get("pictures", {})
        if not isinstance(pairs, dict) or not isinstance(pictures, dict):
            raise ValueError("pairs or pictures is no object")
    except FileNotFoundError:
        listing.bad.append(Skipped(place, f"no {CATEGORY} in the folder"))
        return _Category()
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        reason = f"broken {CATEGORY}"
        text = getattr(error, "strerror", None) or " ".join(str(error).split())[:80]
        listing.bad.append(Skipped(place, f"{reason} ({text})", reason))
        return _Category()
    names = {str(folder): _nfc(name) for name, folder in pairs.items() if _is_number(str(folder))}
    good = {name: entry for name, entry in pictures.items() if _is_name(name) and isinstance(entry, dict)}
    for what, count in (("pairs", len(pairs) - len(names)), ("pictures", len(pictures) - len(good))):
        if count:
            reason = f"entry of {what} that cannot be used"
            listing.bad.append(Skipped(place, f"{count} x {reason}", reason))
    return _Category(names, good)


def _text(value: object) -> str | None:
    text = _nfc(value).strip() if isinstance(value, str) else ""
    return text or None


def _nfc(text: str) -> str:
    """Return text in Unicode's NFC, which lists are in."""
    return unicodedata.normalize("NFC", _encodable(text))


def _encodable(text: str) -> str:
    """Return text without halves of characters, which no table holds."""
    return text.encode("utf-8", "replace").decode()


def _is_name(name: str) -> bool:
    return name not in ("", ".", "..") and not set(name) & {"/", "\0"} and is_utf8(name)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _order(name: str) -> tuple[int, str]:
    """Sort folders by their number: 2 before 10."""
    return (int(name) if _is_number(name) and len(name) < 20 else 0, name)
