"""Taxonomies written as indented text: a node a line, its children below it and further in."""

import re
from collections.abc import Mapping
from pathlib import Path

from perisphere.errors import PerisphereError
from perisphere.taxonomy.relations import Id
from perisphere.taxonomy.taxonomy import Taxonomy
from perisphere.taxonomy.text import read_text

_LINE = re.compile(r"(?P<indent>[ \t]*(?:-+(?=[ \t]))?)(?P<name>.*)")
_REMARK = re.compile(r"\s+\(.*")


def read_indented(
    path: Path, known: Mapping[Id, str] | None = None, *, remarks: bool = False, string_ids: bool = False
) -> Taxonomy:
    """Read indented text: hyphens before the name (``---- name``, as published for CIFAR-100), or blanks.

    Any depth of indentation will do, as long as the children of a node stand equally far in.

    Args:
        path: the text file; blank lines are skipped.
        known: names that have ids already, which are kept. The other nodes are numbered on from the largest,
            leaves before inner nodes.
        string_ids: new ids are texts instead: the name with ``_`` for blanks.
        remarks: names end before `` (`` and a ``?`` at their end, as in the published lists of birds.

    Raises:
        PerisphereError: a name stands twice or is missing, a line's indentation fits no line above it, or a
            known name is not in the file; names the line.
    """
    path = Path(path)
    names: list[str] = []
    pairs: list[tuple[str, str]] = []
    above: list[tuple[int, str]] = []  # indentation and name of the last node and those it hangs under
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        indent, name = _parts(line, remarks)
        if not name:
            continue
        if name in names:
            raise PerisphereError(f"{path}: line {number}: {name!r} stands twice; a node has one name.")
        further_in = [width for width, _ in above if width >= indent]
        if further_in and further_in[0] != indent:
            raise PerisphereError(f"{path}: line {number}: is indented as no line above it. Align {name!r}.")
        del above[len(above) - len(further_in) :]
        if above:
            pairs.append((above[-1][1], name))
        names.append(name)
        above.append((indent, name))
    if not pairs:
        raise PerisphereError(f"{path}: no line is indented below another; there is no hierarchy in it.")
    _check_known(path, names, known or {})
    inner = {parent for parent, _ in pairs}
    ids = _texts(names, known or {}) if string_ids else _numbers(names, inner, known or {})
    called = {node: name for name, node in ids.items()}
    return Taxonomy.from_pairs([(ids[parent], ids[child]) for parent, child in pairs], called)


def _parts(line: str, remarks: bool) -> tuple[int, str]:
    """Return how far a line is indented and the name on it, empty for a blank line."""
    match = _LINE.fullmatch(line.rstrip())
    assert match is not None  # the pattern takes every line
    name = match["name"].strip()
    if remarks:
        name = _REMARK.sub("", name.rstrip(" ?"))
    return len(match["indent"].expandtabs()), name


def _check_known(path: Path, names: list[str], known: Mapping[Id, str]) -> None:
    missing = set(known.values()) - set(names)
    if missing:
        more = f" ({len(missing)} such names)" if len(missing) > 1 else ""
        raise PerisphereError(f"{path}: does not hold {min(missing)!r}, which has an id{more}.")


def _numbers(names: list[str], inner: set[str], known: Mapping[Id, str]) -> dict[str, Id]:
    """Return known ids as they are, and the other names numbered on, leaves first."""
    ids: dict[str, Id] = {name: node for node, name in known.items()}
    following = 1 + max((node for node in known if isinstance(node, int)), default=-1)
    unnamed = sorted((name for name in names if name not in ids), key=lambda name: name in inner)
    ids.update({name: following + place for place, name in enumerate(unnamed)})
    return ids


def _texts(names: list[str], known: Mapping[Id, str]) -> dict[str, Id]:
    ids: dict[str, Id] = {name: str(node) for node, name in known.items()}
    return {name: ids.get(name, "_".join(name.split())) for name in names}
