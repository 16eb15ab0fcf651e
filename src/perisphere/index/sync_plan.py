"""What has become of the photos of a folder: which are new, changed, moved or gone. No file is touched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from perisphere.catalog.readers.folders import place as place_named_by
from perisphere.index.kept_files import Content, Filed, Move, Place


@dataclass(frozen=True)
class Fresh:
    """A photo that has to be embedded.

    Attributes:
        path: from the folder.
        place: what its path says of it.
        content: of its file.
        succeeds: the rows of what was in this file before.
    """

    path: str
    place: Place
    content: Content
    succeeds: tuple[Filed, ...] = ()


@dataclass
class Plan:
    """What an index has to do to hold what the folder holds.

    Attributes:
        same: how many rows are as they should be.
        noted: what is to be noted of the files of rows that stay, by id.
        moves: each row whose file lies elsewhere, and the path that it had.
        relabelled: rows whose folder's class is called otherwise now.
        fresh: what is to be embedded, by path.
        gone: rows whose photos are not there any more, and the path that they had.
    """

    same: int = 0
    noted: dict[int, Content] = field(default_factory=dict)
    moves: list[tuple[Move, str]] = field(default_factory=list)
    relabelled: list[Move] = field(default_factory=list)
    fresh: list[Fresh] = field(default_factory=list)
    gone: list[tuple[Filed, str]] = field(default_factory=list)


def compare(
    known: Mapping[str, list[Filed]], lying: Mapping[str, Content], places: Mapping[str, Place]
) -> Plan:
    """Find out what has become of each photo.

    A row whose bytes lie under another path has moved, wherever it was before, also where two photos have
    changed places. A row of which no content was noted yet takes that of its file as its own.

    Args:
        known: the rows of the index by path; those of photos that cannot be judged are left out.
        lying: what is in each file.
        places: what the path of each file says of it.
    """
    plan, lost, settled = Plan(), defaultdict[str, list[Filed]](list), set[str]()
    for path, rows in known.items():
        now = lying.get(path)
        for row in rows:
            if now is None or (row.content is not None and row.content.sha256 != now.sha256):
                lost[path].append(row)
            else:
                settled.add(path)
                _stay(plan, row, path, now, places[path])
    left = _move(plan, lost, {path: lying[path] for path in sorted(lying) if path not in settled}, places)
    for path, now in left.items():
        plan.fresh.append(Fresh(path, places[path], now, tuple(lost.pop(path, ()))))
    plan.gone = [(row, path) for path in sorted(lost) for row in lost[path]]
    return plan


def _stay(plan: Plan, row: Filed, path: str, now: Content, place: Place) -> None:
    plan.same += 1
    if row.content != now:
        plan.noted[row.id] = now
    if _named_by_folders(row, path) and (new := _placed(row, path, place)) != row.place:
        plan.relabelled.append(Move(row.id, path, new))


def _move(
    plan: Plan, lost: dict[str, list[Filed]], free: Mapping[str, Content], places: Mapping[str, Place]
) -> dict[str, Content]:
    """Give each free file the lost rows of its bytes, taking them out of ``lost``; return the files left."""
    sources: dict[bytes, dict[str, list[Filed]]] = defaultdict(lambda: defaultdict(list))
    for path, rows in lost.items():
        for row in rows:
            if row.content is not None:
                sources[row.content.sha256][path].append(row)
    left = {}
    for path, now in free.items():
        candidates = sources.get(now.sha256)
        if not candidates:
            left[path] = now
            continue
        name = PurePosixPath(path).name
        origin = min(candidates, key=lambda old: (PurePosixPath(old).name != name, old))
        for row in candidates.pop(origin):
            follows = _named_by_folders(row, origin) or not (row.place.label or row.place.categories)
            place = _placed(row, origin, places[path]) if follows else row.place
            plan.moves.append((Move(row.id, path, place), origin))
            if row.content != now:
                plan.noted[row.id] = now
            lost[origin].remove(row)
        if not lost[origin]:
            del lost[origin]
    return left


def _named_by_folders(row: Filed, path: str) -> bool:
    """Say whether label and categories of a row are those that its path names, and not the user's own."""
    _, categories = place_named_by(path)
    if not categories or row.place.categories != categories:
        return False
    return row.place.label in (categories[-1], "/".join(categories))


def _placed(row: Filed, old: str, new: Place) -> Place:
    """Return what the new path says; a split that the old path did not name is the user's own, and stays."""
    named, _ = place_named_by(old)
    return new if row.place.split == named else replace(new, split=row.place.split)
