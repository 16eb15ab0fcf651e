"""A photo of the index as a query."""

from dataclasses import dataclass
from pathlib import Path

from perisphere.errors import PerisphereError


@dataclass(frozen=True)
class Row:
    """A photo of the index, by its stored vector ("more like this"); it is left out of its own results.

    Attributes:
        id: its id in the index.
        path: its path in the catalog, as the search tells.
        file: where it lies, as the search tells.
    """

    id: int
    path: str | None = None
    file: Path | None = None

    @property
    def photo(self) -> Path:
        """Its file.

        Raises:
            PerisphereError: the index does not know where it lies.
        """
        if self.file is None:
            raise PerisphereError(
                f"image {self.id}: the index does not know where its photo lies, to cut a part out. "
                "Name the file."
            )
        return self.file
