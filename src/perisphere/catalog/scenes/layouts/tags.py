"""Layout ``tags``: photos with what users wrote under them, and the concepts that they really show.

::

    OUT/tags/images/000003_0007.jpg
    OUT/tags/tags.jsonl       a line a photo: image, tags, split, label, concepts, caption
    OUT/truth/tags.csv        a line a tag: whether it is true, what was meant, in which language, how changed
    OUT/truth/users.json      how noisy the tags are, and the words of every language
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import cast

import polars as pl

from perisphere.catalog.scenes.concepts import LEAST, concepts
from perisphere.catalog.scenes.layouts.layout import Layout, Roll
from perisphere.catalog.scenes.layouts.truth import write_mask, write_truth
from perisphere.catalog.scenes.photo import Photo, take_photo
from perisphere.catalog.scenes.users import RATES, USERS, Tag, write_tags
from perisphere.catalog.scenes.words import CHATTER, LANGUAGES, WORDS
from perisphere.catalog.scenes.world import Landmark
from perisphere.errors import UsageError

TRAIN, QUERY, GALLERY = "train", "query", "gallery"
SPLITS = (TRAIN, GALLERY, QUERY, TRAIN, GALLERY, TRAIN, GALLERY, TRAIN, GALLERY, TRAIN)
"""Split of the photos of a landmark, over and over."""


@dataclass(frozen=True)
class TaggedPhoto(Photo):
    """A photo with the tags of a user.

    Attributes:
        written: the tags, and what is true of them.
    """

    written: tuple[Tag, ...] = ()


class Tags(Layout):
    """Of ten photos of a landmark five are for training, four are searched and one is searched with."""

    def __init__(self, out: Path, *, truth: bool) -> None:
        self.out, self.truth = out, truth

    @property
    def photos(self) -> Path:
        """The folder for ``perisphere read tags``."""
        return self.out / "tags"

    def label(self, landmark: Landmark) -> str:
        """Return what ``tags.jsonl`` calls it."""
        return landmark.slug

    def rolls(self, landmarks: int, photos: int) -> list[Roll]:
        """All photos of all landmarks; enough of each for every split."""
        if photos < len(set(SPLITS)):
            raise UsageError(f"--photos {photos}: --layout tags takes at least 3, one for each split.")
        return super().rolls(landmarks, photos)

    def take(self, seed: int, of: int, number: int, *, size: int, difficulty: str) -> Photo:
        """Take a photo, and let a user tag it."""
        photo = take_photo(seed, of, number, size=size, difficulty=difficulty)
        written = write_tags(photo, seed)
        known = {field.name: getattr(photo, field.name) for field in fields(Photo)}
        return TaggedPhoto(**{**known, "tags": tuple(tag.text for tag in written)}, written=written)

    def write(self, photo: Photo) -> dict[str, object]:
        """Write the JPEG and the mask; paths in the record are relative to the photos' folder."""
        path = Path("images", f"{photo.landmark.number:06d}_{photo.number + 1:04d}.jpg")
        file = self.photos / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo.jpeg())
        record = write_mask(self.out / "truth", path, photo) if self.truth else {}
        line = {
            "image": path.as_posix(),
            "tags": photo.tags,
            "split": SPLITS[photo.number % len(SPLITS)],
            "label": self.label(photo.landmark),
            "concepts": concepts(photo),
            "caption": photo.caption,
        }
        return {**record, "line": line, "written": cast(TaggedPhoto, photo).written}

    def finish(self, landmarks: list[Landmark], records: list[dict[str, object]]) -> None:
        """Write the list of photos, and what is true of photos and tags."""
        lines = "".join(json.dumps(record["line"], ensure_ascii=False) + "\n" for record in records)
        (self.photos / "tags.jsonl").write_text(lines, "utf-8")
        if self.truth:
            write_truth(self.out / "truth", landmarks, records)
            _tags(records).write_csv(self.out / "truth" / "tags.csv")
            (self.out / "truth" / "users.json").write_text(_users(), "utf-8")


def _tags(records: list[dict[str, object]]) -> pl.DataFrame:
    """Columns path, tag, kind, thing, language, changes: a row a tag."""
    rows = [
        (record["path"], tag.text, tag.kind, tag.thing, tag.language, " ".join(tag.changes))
        for record in records
        for tag in cast(tuple[Tag, ...], record["written"])
    ]
    columns = ("path", "tag", "kind", "thing", "language", "changes")
    return pl.DataFrame(rows, dict.fromkeys(columns, pl.String), orient="row")


def _users() -> str:
    facts = {
        "users": USERS,
        "rates": asdict(RATES),
        "least_share_of_a_concept": LEAST,
        "languages": LANGUAGES,
        "words": {
            name: {"kind": word.kind, "en": word.english, **word.foreign} for name, word in WORDS.items()
        },
        "chatter": CHATTER,
    }
    return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
