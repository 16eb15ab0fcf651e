"""Files that name the classes which matter: the first word of each line is an id."""

from pathlib import Path

from perisphere.errors import PerisphereError
from perisphere.taxonomy.relations import Id, as_id
from perisphere.taxonomy.taxonomy import Taxonomy
from perisphere.taxonomy.text import filled_lines


def read_class_list(path: Path, taxonomy: Taxonomy) -> list[Id]:
    """Return the ids that a file lists, in its order, repeated ones once; a file of names serves too.

    Raises:
        PerisphereError: the file cannot be read, or an id is not in the taxonomy; names the line.
    """
    path = Path(path)
    classes: dict[Id, None] = {}
    for number, line in filled_lines(path):
        word = line.split(maxsplit=1)[0]
        node = as_id(word, taxonomy.ids[0])
        if node is None or node not in taxonomy:
            raise PerisphereError(f"{path}: line {number}: class {word[:80]!r} is not in the taxonomy.")
        classes[node] = None
    return list(classes)
