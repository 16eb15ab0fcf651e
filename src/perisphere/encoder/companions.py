"""What an encoder's folder holds beside its network: class points, tags, codebooks, and what reads texts."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perisphere.codes.codebooks import Codebooks
from perisphere.encoder.text_tower import TextTower
from perisphere.errors import PerisphereError
from perisphere.storage import sha256
from perisphere.tags import Tags
from perisphere.taxonomy import ClassPoints

CLASSES, TAGS, CODEBOOKS, TEXT = "classes.npz", "tags", "codebooks.npz", "text"


@dataclass(frozen=True)
class Companions:
    """Points and codewords in the space of the embeddings; they change no embedding.

    Attributes:
        classes: points of classes that the encoder was trained towards.
        tags: whose vectors the encoder was trained towards.
        codebooks: that compress its embeddings.
        text: what reads texts into the same space.
    """

    classes: ClassPoints | None = None
    tags: Tags | None = None
    codebooks: Codebooks | None = None
    text: TextTower | None = None

    def check(self, dim: int) -> None:
        """Raise a PerisphereError where something has not ``dim`` numbers, as the embeddings have."""
        for name, held, mend in (
            ("class points", self.classes, "train it towards them"),
            ("tag vectors", self.tags, "train it towards them with a projection of as many numbers"),
            ("codewords", self.codebooks, "fit codebooks to its own embeddings with `perisphere codes fit`"),
            ("texts", self.text, "import it again with `perisphere encoder import`"),
        ):
            if held is not None and held.dim != dim:
                raise PerisphereError(
                    f"{name} of {held.dim} numbers do not lie in the space of an encoder that gives {dim}; "
                    f"{mend}."
                )

    def save(self, folder: Path) -> dict[str, Any]:
        """Write each into ``folder``; return what the encoder's description says of them (JSON values)."""
        facts: dict[str, Any] = {}
        if self.classes is not None:
            self.classes.save(folder / CLASSES)
            facts["classes_sha256"] = sha256(folder / CLASSES)
        if self.tags is not None:
            self.tags.save(folder / TAGS)
            facts["tags"] = {"count": len(self.tags.names), "sha256": digest(folder / TAGS)}
        if self.codebooks is not None:
            held = self.codebooks
            held.save(folder / CODEBOOKS)
            facts["codebooks"] = {
                "kind": held.kind,
                "books": held.books,
                "bits": held.bits,
                "unit": held.unit,
                "sha256": sha256(folder / CODEBOOKS),
            }
        if self.text is not None:
            self.text.save(folder / TEXT)
            facts["text"] = {"length": self.text.spec.length, "sha256": digest(folder / TEXT)}
        return facts

    @classmethod
    def load(cls, folder: Path, described: dict[str, Any]) -> "Companions":
        """Read what the description of the encoder in ``folder`` names.

        Raises:
            PerisphereError: something named is missing or is not what was saved.
        """
        classes, (tags, codebooks, text) = (
            described.get("classes_sha256"),
            (_hash(described, name) for name in ("tags", "codebooks", "text")),
        )
        return cls(
            None if classes is None else ClassPoints.load(_checked(folder / CLASSES, classes)),
            None if tags is None else Tags.load(_checked(folder / TAGS, tags)),
            None if codebooks is None else Codebooks.load(_checked(folder / CODEBOOKS, codebooks)),
            None if text is None else TextTower.load(_checked(folder / TEXT, text)),
        )


def _hash(described: dict[str, Any], name: str) -> object:
    facts = described.get(name)
    return facts.get("sha256") or "missing" if isinstance(facts, dict) else facts


def _checked(path: Path, expected: object) -> Path:
    if not path.exists():
        raise PerisphereError(f"{path}: not found; copy the encoder's folder whole.")
    if digest(path) != expected:
        raise PerisphereError(
            f"{path}: damaged (is not what encoder.json was written with); "
            "copy or write the encoder's folder again."
        )
    return path


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and hashes of a folder's files, as hexadecimal digits."""
    try:
        if path.is_file():
            return sha256(path)
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.name[0] != ".")
        lines = [f"{file.relative_to(path).as_posix()}\0{sha256(file)}\n" for file in files]
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror}); check its permissions.") from error
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
