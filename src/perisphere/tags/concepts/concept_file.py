"""The file of proposed concepts: a table to read, and a list to choose from."""

from collections.abc import Sequence
from pathlib import Path

from perisphere.errors import PerisphereError
from perisphere.foreign.typed_text import read_typed
from perisphere.storage import whole_file
from perisphere.tags.concepts.proposal import Proposal
from perisphere.tags.words import LONGEST

_HEAD = ("concept", "photos", "landmarks", "named by", "agreement", "written as")
_FORMS = 8
_ABOUT = """\
# One concept a line. Lines with # are left out: move the # to choose otherwise.
"""


def write_concepts(file: Path, proposals: Sequence[Proposal]) -> None:
    """Write good concepts a line each, then the others as comments with the objection; whole or not at all.

    Raises:
        PerisphereError: the disk refuses.
    """
    lines = ["\t".join(_HEAD)]
    for one in proposals:
        figures = (one.total, len(one.photos), one.named, f"{one.agreement:.2f}")
        cells = [one.word, *map(str, figures), ", ".join(list(one.forms)[:_FORMS])]
        lines.append("\t".join(cells if not one.objection else [f"# {one.word}", *cells[1:], one.objection]))
    with whole_file(file) as part:
        part.write_text(_ABOUT + "".join(f"{line}\n" for line in lines), "utf-8")


def read_concepts(file: Path) -> list[str]:
    """Return the concepts of such a file, or of any with one a line; what follows a tab is not read.

    Raises:
        PerisphereError: the file is missing, names none, one twice, or one that is too long.
    """
    cells = [line.split("\t")[0].strip() for line in read_typed(file).splitlines()]
    names = [cell for cell in cells if cell and not cell.startswith("#")]
    names = names[1:] if names[:1] == [_HEAD[0]] else names
    if not names:
        raise PerisphereError(f"{file}: names no concept. Write one a line.")
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise PerisphereError(f"{file}: the concept {doubled[:80]!r} is there twice. Name it once.")
    long = next((name for name in names if len(name) > LONGEST), None)
    if long is not None:
        raise PerisphereError(f"{file}: {long[:40]!r}... is too long for a concept. Write one a line.")
    return names
