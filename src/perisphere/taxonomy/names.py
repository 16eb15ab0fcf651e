"""Files that say what the ids of a taxonomy are called."""

import json
from collections.abc import Mapping
from pathlib import Path

from perisphere.errors import PerisphereError
from perisphere.storage import whole_file
from perisphere.taxonomy.relations import Id, as_id
from perisphere.taxonomy.text import filled_lines, read_text


def read_names(path: Path, like: Id) -> dict[Id, str]:
    """Read the names of ids.

    Two forms are understood: text, a line ``ID NAME`` with a name that may hold blanks; and, by the suffix
    ``.json``, a class index ``{"0": ["ID", "NAME"], ...}`` or a map ``{"ID": "NAME", ...}``.

    Args:
        path: the file.
        like: an id of the taxonomy; ids are read as this kind.

    Raises:
        PerisphereError: the file cannot be read, an id is not of this kind or has two names, or an entry has
            another form; the message names the line or the entry.
    """
    path = Path(path)
    named = _json_entries(path) if path.suffix.lower() == ".json" else _text_entries(path)
    names: dict[Id, str] = {}
    for where, text, name in named:
        node = as_id(text, like)
        if node is None:
            raise PerisphereError(f"{path}: {where}: {text[:80]!r} is no integer, as the taxonomy's ids are.")
        if names.setdefault(node, name) != name:
            raise PerisphereError(f"{path}: {where}: id {text[:80]!r} has the name {names[node]!r} already.")
    return names


def _text_entries(path: Path) -> list[tuple[str, str, str]]:
    entries = []
    for number, line in filled_lines(path):
        words = line.split(maxsplit=1)
        if len(words) != 2:
            raise PerisphereError(f"{path}: line {number}: {line[:80]!r} has no name; a line is ID NAME.")
        entries.append((f"line {number}", words[0], words[1]))
    return entries


def _json_entries(path: Path) -> list[tuple[str, str, str]]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise PerisphereError(f"{path}: is no JSON ({error}).") from error
    if not isinstance(content, dict) or not content:
        raise PerisphereError(f"{path}: is no JSON object of ids and names.")
    entries = []
    for key, value in content.items():
        pair = [key, value] if isinstance(value, str) else value
        if not (
            isinstance(pair, list) and len(pair) >= 2 and all(isinstance(part, str) for part in pair[:2])
        ):
            raise PerisphereError(f'{path}: entry {key[:80]!r}: is neither "NAME" nor ["ID", "NAME"].')
        entries.append((f"entry {key[:80]!r}", pair[0], pair[1]))
    return entries


def write_names(path: Path, names: Mapping[Id, str]) -> None:
    """Write lines ``ID NAME`` that ``read_names`` reads back; line breaks in names become blanks.

    Raises:
        PerisphereError: an id holds white space, or the file cannot be written.
    """
    for node in names:
        if len(str(node).split()) != 1:
            raise PerisphereError(f"{path}: id {node!r} holds white space, which ends an id in such a file.")
    lines = [f"{node} {' '.join(name.split())}\n" for node, name in names.items()]
    with whole_file(path) as part:
        part.write_text("".join(lines), encoding="utf-8")
