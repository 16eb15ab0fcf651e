"""A folder in the hub's format: settings as JSON, weights as safetensors, whole or in parts.

Everything in it is read here and nowhere else. Files are named by us or, for parts of the weights, by an
index whose names must be plain ones in the same folder; code, adapters and settings of loaders are not read.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from perisphere.errors import PerisphereError
from perisphere.nets.arrays import read_safetensors
from perisphere.nets.pickled import read_checkpoint

CONFIG, PREPROCESSOR, PROCESSOR = "config.json", "preprocessor_config.json", "processor_config.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
MOST_JSON = 4 << 20
MOST_INDEX = 64 << 20
MOST_TOKENIZER = 128 << 20
MOST_PARTS = 1024

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_PART = re.compile(r"[\w-][\w.-]*\.(safetensors|bin)")


@dataclass(frozen=True)
class HubFolder:
    """A local folder with ``config.json``.

    Attributes:
        path: where it is.
    """

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise PerisphereError(
                f"{self.path}: no such folder. Name a local one in the hub's format (config.json, "
                "model.safetensors); nothing is downloaded."
            )
        if not (self.path / CONFIG).is_file():
            raise PerisphereError(f"{self.path}: no {CONFIG} in it, so it is no folder in the hub's format.")

    def json(self, name: str, *, most: int = MOST_JSON) -> dict[str, Any] | None:
        """Return a JSON object, or ``None`` where there is no such file.

        Raises:
            PerisphereError: the file is larger than ``most`` bytes, or no JSON object.
        """
        text = self.text(name, most=most)
        if text is None:
            return None
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise PerisphereError(f"{self.path / name}: is not JSON ({error}). Get it again.") from None
        if not isinstance(found, dict):
            raise PerisphereError(f"{self.path / name}: holds no JSON object. Get it again.")
        return found

    def text(self, name: str, *, most: int) -> str | None:
        """Return the text of a file of at most ``most`` bytes, or ``None`` where there is none.

        Raises:
            PerisphereError: it is larger, cannot be read, or is no text.
        """
        path = self.path / name
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file:
                data = file.read(most + 1)
            text = data.decode("utf-8")
        except OSError as error:
            raise PerisphereError(f"{path}: cannot be read ({error.strerror}).") from error
        except UnicodeDecodeError as error:
            raise PerisphereError(f"{path}: is no text ({error}). Get it again.") from None
        if len(data) > most:
            raise PerisphereError(f"{path}: is larger than {most >> 20} MiB, which no such file is.")
        return text

    def tensors(self) -> dict[str, Tensor]:
        """Return the floating weights by name; ``.bin`` files go through the reader that runs no code.

        Raises:
            PerisphereError: there are none, a part is missing or damaged, a name is there twice, or a value
                is NaN or infinite.
        """
        tensors: dict[str, Tensor] = {}
        for file in self._weight_files():
            for name, tensor in _read(file).items():
                if name in tensors:
                    raise PerisphereError(
                        f"{file}: {name[:80]!r} is in another part too. Get the folder again."
                    )
                if tensor.is_floating_point():
                    tensors[name] = _finite(file, name, tensor)
        return tensors

    def _weight_files(self) -> list[Path]:
        for name in _WEIGHTS:
            if (self.path / name).is_file():
                return [self.path / name]
            index = self.json(f"{name}.index.json", most=MOST_INDEX)
            if index is not None:
                return self._parts(f"{name}.index.json", index)
        raise PerisphereError(f"{self.path}: holds no weights ({_WEIGHTS[0]}). Get the folder whole.")

    def _parts(self, name: str, index: dict[str, Any]) -> list[Path]:
        places = index.get("weight_map")
        files = set(places.values()) if isinstance(places, dict) and _texts(places.values()) else set()
        if not 1 <= len(files) <= MOST_PARTS or not all(_PART.fullmatch(file) for file in files):
            raise PerisphereError(f"{self.path / name}: its weight_map names no plain files of this folder.")
        paths = [self.path / file for file in sorted(files)]
        absent = next((path for path in paths if not path.is_file()), None)
        if absent is not None:
            raise PerisphereError(f"{absent}: not found, though {name} names it. Get the folder whole.")
        return paths


def _texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".bin":
        return read_checkpoint(file)
    try:
        return read_safetensors(file)
    except (OSError, ValueError) as error:
        raise PerisphereError(f"{file}: is damaged ({error}). Get it again.") from error


def _finite(file: Path, name: str, tensor: Tensor) -> Tensor:
    tensor = tensor.float()
    if not torch.isfinite(tensor).all():
        raise PerisphereError(f"{file}: {name[:80]} has NaN or infinite values. Get it again.")
    return tensor
