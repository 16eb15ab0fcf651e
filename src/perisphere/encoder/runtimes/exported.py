"""A network that was exported to a runtime, as one folder: the model's files and ``runtime.json``."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from perisphere.encoder.runtimes.names import FOLDER, MANIFEST, Engine, model_name
from perisphere.errors import PerisphereError

LARGEST = 4 << 30
"""Bytes of a model file that is read."""
LARGEST_MANIFEST = 1 << 20

FILES: dict[Engine, tuple[str, ...]] = {"openvino": ("model.xml", "model.bin"), "onnx": ("model.onnx",)}
"""What a model consists of; nothing else is read."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Agreement(BaseModel):
    """How near a runtime's unit rows came to torch's float32, when it was exported.

    Attributes:
        images: that both embedded.
        photos: where they came from.
        cosine: the least of a pair of rows.
        mean_cosine: of all pairs.
        difference: the greatest of two numbers at one place.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int
    photos: str
    cosine: float
    mean_cosine: float
    difference: float


class Quantisation(BaseModel):
    """What int8 was fitted to, and what it costs.

    Attributes:
        calibration: photos that the ranges of activations were taken from.
        photos: where they came from.
        seed: of their draw.
        measured: photos of the leave-one-out mAP, none of them among those of the calibration; 0 where too
            few were left or had labels.
        map_float32: of torch's float32 rows.
        map_int8: of the int8 rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    calibration: int
    photos: str
    seed: int
    measured: int = 0
    map_float32: float | None = None
    map_int8: float | None = None


class Manifest(BaseModel):
    """``runtime.json``.

    Attributes:
        format: of this file.
        runtime: that the model is for.
        encoder: identity of the float32 encoder that was exported.
        sides: height and width that the model takes; ``None``: any.
        files: name to SHA-256 of each file.
        agreement: with torch.
        int8: how it was quantised, if it was.
        software: versions that wrote it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    runtime: Engine
    encoder: str
    sides: tuple[int, int] | None
    files: dict[str, Sha256]
    agreement: Agreement
    int8: Quantisation | None = None
    software: dict[str, str] = {}

    def told(self) -> dict[str, Any]:
        """Return what is of interest to people (JSON values)."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"format", "files"})


class Exported:
    """A model on the disk that is known to be what was written.

    Attributes:
        folder: that it lies in.
        manifest: what is known of it.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def digest(self) -> str:
        """SHA-256 over names and hashes of the files: another where a single weight is another."""
        lines = (f"{name} {hash_}\n" for name, hash_ in sorted(self.manifest.files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @classmethod
    def load(cls, folder: Path, *, engine: Engine, encoder: str, int8: bool) -> Self:
        """Read the manifest of a model.

        Args:
            folder: where it lies.
            engine: that must be its runtime.
            encoder: identity of the float32 encoder that it must be of.
            int8: whether it must be quantised.

        Raises:
            PerisphereError: it is missing, damaged, or of another encoder, runtime or kind.
        """
        known = manifest(folder)
        wrong = (
            (known.runtime != engine, f"is for {known.runtime}"),
            (known.encoder != encoder, f"is of another encoder ({known.encoder} instead of {encoder})"),
            ((known.int8 is not None) != int8, "is not int8" if int8 else "is int8"),
            (set(known.files) != set(FILES[engine]), f"names other files than {', '.join(FILES[engine])}"),
        )
        for is_wrong, told in wrong:
            if is_wrong:
                raise PerisphereError(f"{folder / MANIFEST}: {told}; {_mend(folder)}.")
        return cls(folder, known)

    @property
    def named(self) -> dict[str, str]:
        """What an encoder's description says of its model of 8 bits."""
        return {"runtime": self.manifest.runtime, "digest": self.digest}

    def copy_to(self, encoder: Path) -> None:
        """Write the model into another encoder's folder."""
        folder = encoder / FOLDER / model_name(self.manifest.runtime, self.manifest.int8 is not None)
        folder.mkdir(parents=True)
        for name, expected in self.manifest.files.items():
            (folder / name).write_bytes(read(self.folder, name, expected))
        (folder / MANIFEST).write_text(self.manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def manifest(folder: Path) -> Manifest:
    """Return what lies beside a model.

    Raises:
        PerisphereError: it is missing, damaged, or of a newer format.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            return Manifest.model_validate_json(file.read(LARGEST_MANIFEST))
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror}); {_mend(folder)}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise PerisphereError(f"{path}: damaged ({place}: {first['msg']}); {_mend(folder)}.") from error


def read(folder: Path, name: str, expected: str) -> bytes:
    """Return the content of a model's file: hashed are the very bytes that are used.

    Raises:
        PerisphereError: it is missing, too large, or has another SHA-256 than ``expected``.
    """
    path = folder / name
    try:
        if path.stat().st_size > LARGEST:
            raise PerisphereError(f"{path}: has more than {LARGEST >> 30} GiB; {_mend(folder)}.")
        content = path.read_bytes()
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror}); {_mend(folder)}.") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise PerisphereError(f"{path}: damaged (is not what {MANIFEST} was written with); {_mend(folder)}.")
    return content


def _mend(folder: Path) -> str:
    return f"remove {folder} and export again with `perisphere encoder export`"
