"""MIRFlickr-25K as its authors give it: photos, a file of tags for each, a file of numbers for each concept.

Source: Huiskes and Lew, "The MIR Flickr Retrieval Evaluation", MIR 2008.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing
from perisphere.catalog.readers.lists import read_lines
from perisphere.errors import PerisphereError, UsageError
from perisphere.foreign.typed_text import read_typed

VARIANTS = ("potential", "relevant", "all")
_PHOTO = re.compile(r"im([1-9]\d{0,8})\.jpg")
_RELEVANT = "_r1"
_ANNOTATIONS = ("annotations", "mirflickr25k_annotations_v080")


def list_images(root: Path, *, annotations: Path | None = None, variant: str | None = None) -> Listing:
    """List MIRFlickr-25K by the numbers of its photos; it has no splits of its own.

    Args:
        root: the folder of ``mirflickr/`` (``im1.jpg`` ..., ``meta/tags/tags1.txt`` ...), or that folder.
        annotations: the folder of ``CONCEPT.txt``, a photo's number a line; ``annotations`` or
            ``mirflickr25k_annotations_v080`` beside the photos' folder or in it if not given.
        variant: ``potential``: what a photo shows at all, the default; ``relevant``: what it is about, the 14
            concepts of the files ``CONCEPT_r1.txt``; ``all``: both, a concept for each file.

    Raises:
        UsageError: an unknown variant.
        PerisphereError: photos or tags are not there, or an annotation is no number.
    """
    wanted = variant or VARIANTS[0]
    if wanted not in VARIANTS:
        raise UsageError(f"--variant {wanted!r}: is not {', '.join(VARIANTS)}.")
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    photos = root / "mirflickr" if (root / "mirflickr").is_dir() else root
    tags = next((place for place in (photos / "meta/tags", root / "meta/tags") if place.is_dir()), None)
    if tags is None:
        raise PerisphereError(f"{photos / 'meta/tags'}: no such folder of tags. Is the data set complete?")
    listing = Listing(root)
    paths = _photos(photos, listing)
    concepts = _concepts(listing, _find(root, photos, annotations), wanted, paths)
    for number, path in sorted(paths.items()):
        words = _tags(tags / f"tags{number}.txt", path, listing)
        listing.rows.append({"path": path, "tags": words, "concepts": concepts.get(number, [])})
    return listing


def _photos(folder: Path, listing: Listing) -> dict[int, str]:
    """Return path relative to the root by number."""
    paths = {}
    for file in folder.iterdir():
        name = _PHOTO.fullmatch(file.name)
        path = file.relative_to(listing.root).as_posix()
        if name:
            paths[int(name[1])] = path
        elif file.suffix.lower() in (".jpg", ".jpeg"):
            listing.ignored.append(Skipped(path, "not imNUMBER.jpg"))
    return paths


def _find(root: Path, photos: Path, given: Path | None) -> Path | None:
    if given is not None:
        if not Path(given).is_dir():
            raise PerisphereError(f"{given}: no such folder of annotations.")
        return Path(given)
    places = [folder / name for folder in (root, photos) for name in _ANNOTATIONS]
    return next((place for place in places if place.is_dir()), None)


def _concepts(
    listing: Listing, folder: Path | None, variant: str, paths: Mapping[int, str]
) -> dict[int, list[str]]:
    """Return the concepts of each photo's number, by name."""
    if folder is None:
        listing.remarks["no annotations: the photos have no concepts"] = [", ".join(_ANNOTATIONS)]
        return {}
    found: dict[int, list[str]] = {}
    lost: set[int] = set()
    for concept, file in _files(folder, variant):
        for number in _numbers(file):
            if number in paths:
                found.setdefault(number, []).append(concept)
            else:
                lost.add(number)
    if lost:
        listing.remarks["annotated, and not there"] = [f"im{number}.jpg" for number in sorted(lost)]
    return found


def _files(folder: Path, variant: str) -> Iterator[tuple[str, Path]]:
    """Yield the concept and the file of what the variant takes, by name."""
    files = [file for file in sorted(folder.glob("*.txt")) if not file.name.lower().startswith("readme")]
    if not files:
        raise PerisphereError(f"{folder}: holds no CONCEPT.txt.")
    for file in files:
        relevant = file.stem.endswith(_RELEVANT)
        if variant == "all":
            yield file.stem, file
        elif relevant == (variant == "relevant"):
            yield file.stem.removesuffix(_RELEVANT), file


def _numbers(file: Path) -> set[int]:
    numbers = set()
    for line, text in read_lines(file):
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise PerisphereError(f"{file}: line {line}: {text[:80]!r} is no number of a photo.")
        numbers.add(int(text))
    return numbers


def _tags(file: Path, path: str, listing: Listing) -> list[str]:
    """Return the tags of one photo; none, with a remark, where the file is missing."""
    if not file.is_file():
        listing.remarks.setdefault(f"without its file of tags in {file.parent.name}", []).append(path)
        return []
    return [word.strip() for word in read_typed(file).splitlines() if word.strip()]
