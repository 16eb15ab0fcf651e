"""WordNet's nouns as a taxonomy of ids such as ``n02084071``.

Source: the file ``data.noun`` of WordNet 3.0 and its format (wordnet.princeton.edu, ``wndb(5WN)``).
"""

from pathlib import Path

from perisphere.errors import PerisphereError
from perisphere.taxonomy.relations import Id
from perisphere.taxonomy.taxonomy import Taxonomy
from perisphere.taxonomy.text import read_text

HYPERNYMS = ("@", "@i")  # a kind of; an instance of


def read_wordnet(path: Path) -> Taxonomy:
    """Read ``data.noun``: each synset under its hypernyms, also those it is an instance of.

    The id is the part of speech and the offset, ``n`` and eight digits; the name is the first word.

    Raises:
        PerisphereError: a line has another form; names it.
    """
    path = Path(path)
    pairs: list[tuple[Id, Id]] = []
    names: dict[Id, str] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or line.startswith("  "):
            continue  # the licence stands first, indented
        try:
            node, name, hypernyms = _synset(line)
        except (ValueError, IndexError):
            raise PerisphereError(
                f"{path}: line {number}: is no synset of WordNet's data.noun: {line[:60]!r}."
            ) from None
        names[node] = name
        pairs.extend((hypernym, node) for hypernym in hypernyms)
    if not pairs:
        raise PerisphereError(f"{path}: holds no synset with a hypernym. Is it WordNet's data.noun?")
    return Taxonomy(pairs, names, where=lambda number: f"{path}: relation {number + 1}")


def _synset(line: str) -> tuple[str, str, list[str]]:
    """Return id, first word and hypernyms: OFFSET FILE TYPE WORDS WORD LEX ... POINTERS SYMBOL ..."""
    fields = line.split(" | ", 1)[0].split()
    if fields[2] != "n" or not (len(fields[0]) == 8 and fields[0].isdigit()):
        raise ValueError(line)
    first = 4 + 2 * int(fields[3], 16)  # words come with a number each
    pointers = fields[first + 1 : first + 1 + 4 * int(fields[first])]
    if len(pointers) != 4 * int(fields[first]):
        raise ValueError(line)
    hypernyms = [
        f"n{offset}"
        for symbol, offset, kind in zip(pointers[::4], pointers[1::4], pointers[2::4], strict=True)
        if symbol in HYPERNYMS and kind == "n"
    ]
    return f"n{fields[0]}", fields[4].replace("_", " "), hypernyms
