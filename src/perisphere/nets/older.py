"""Checkpoints of older landmark programs: what their names and settings mean here.

Two kinds are known. A *classifier* keeps its backbone as a numbered sequence (``module.features.4.0.conv1``),
and once more inside it for each data set that it was trained on before. A *retrieval* checkpoint says under
``meta`` what the network is made of, and may hold whitenings (Radenovic, Tolias and Chum, TPAMI 2018).
"""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from perisphere.errors import PerisphereError
from perisphere.nets.pickled import Checkpoint
from perisphere.nets.pickled_arrays import ArrayReference
from perisphere.nets.registry import ARCHITECTURES
from perisphere.nets.spec import NetSpec

Triple = tuple[float, float, float]
# The children of a ResNet in their order; 2 and 3 are the ReLU and the pooling, which have no weights.
SEQUENCE = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_NUMBERED = re.compile(r"(?:module\.)*features\.((?:\d+\.)*)(.*)")
_FIRST_BLOCK = re.compile(r"(?:module\.)*features\.(?:0\.)*4\.0\.conv1\.weight")
_PARTS = {
    "lwhiten.": "local_projection.",
    "pool.rpool.p": "pooling.p",
    "pool.p": "pooling.p",
    "pool.whiten.": "pooling.projection.",
    "whiten.": "projection.",
}


@dataclass(frozen=True)
class Older:
    """An older checkpoint in today's terms.

    Attributes:
        tensors: with the names that they have here.
        spec: the network that the file describes; ``None`` for a classifier, which does not say.
        mean: of the input, in the order of RGB.
        std: of the input.
        whitenings: mean ``[D]`` and projection ``[d, D]`` by ``NAME/ss`` (one scale) or ``NAME/ms``
            (several), as references that are read on demand.
    """

    tensors: dict[str, Tensor]
    spec: NetSpec | None = None
    mean: Triple | None = None
    std: Triple | None = None
    whitenings: dict[str, tuple[ArrayReference, ArrayReference]] = field(default_factory=dict)

    def whitening(self, name: str) -> tuple[NDArray, NDArray]:
        """Return mean ``[D]`` and projection ``[d, D]`` of a whitening.

        Raises:
            PerisphereError: there is none of this name, or it is damaged.
        """
        if name not in self.whitenings:
            known = ", ".join(self.whitenings) or "none"
            raise PerisphereError(f"the file has no whitening {name!r}; it has {known}.")
        try:
            mean, projection = (part.array() for part in self.whitenings[name])
        except (TypeError, ValueError) as error:
            raise PerisphereError(f"the whitening {name!r} is damaged ({error}).") from error
        return np.asarray(mean, np.float64).ravel(), np.asarray(projection, np.float64)


def older(checkpoint: Checkpoint) -> Older | None:
    """Return the checkpoint in today's terms, or ``None`` where it is of neither kind.

    Raises:
        PerisphereError: the file describes a network that is not known here.
    """
    meta = checkpoint.about.get("meta")
    if isinstance(meta, dict) and {"architecture", "pooling"} <= meta.keys():
        tensors = {_retrieval_name(name): tensor for name, tensor in checkpoint.tensors.items()}
        mean, std = (_triple(meta.get(key)) for key in ("mean", "std"))
        return Older(in_sequence(tensors), _described(meta), mean, std, _whitenings(meta.get("Lw")))
    renamed = in_sequence(checkpoint.tensors)
    return None if renamed.keys() == checkpoint.tensors.keys() else Older(renamed)


def _described(meta: dict[Any, Any]) -> NetSpec:
    backbone, pooling = str(meta["architecture"]), str(meta["pooling"])
    if backbone not in ARCHITECTURES or not ARCHITECTURES[backbone].strided:
        known = ", ".join(name for name, architecture in ARCHITECTURES.items() if architecture.strided)
        raise PerisphereError(f"its architecture {backbone[:60]!r} is not known here; known are {known}.")
    regional, whitening = bool(meta.get("regional")), bool(meta.get("whitening"))
    try:
        return NetSpec(
            backbone=backbone,
            pooling=pooling,  # type: ignore[arg-type]
            gem_learned=pooling == "gem",
            regional=regional,
            region_projection=regional,
            local_projection=bool(meta.get("local_whitening")),
            unit_pooled=whitening,
            projection=meta.get("outputdim") if whitening else None,
        )
    except ValidationError as error:
        raise PerisphereError(f"its settings fit no network here: {error.errors()[0]['msg']}.") from None


def _retrieval_name(name: str) -> str:
    name = name.removeprefix("module.")
    prefix = next((prefix for prefix in _PARTS if name.startswith(prefix)), None)
    return name if prefix is None else _PARTS[prefix] + name.removeprefix(prefix)


def in_sequence(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a ResNet whose stages are numbered their names, however often it was wrapped.

    Anything else comes back as it is.
    """
    numbered = {name: match for name in tensors if (match := _NUMBERED.fullmatch(name))}
    # Block 0 of stage 4 tells how deep the sequence lies: what stands before it is wrapping.
    first = next((match[1] for match in numbered.values() if _FIRST_BLOCK.fullmatch(match[0])), None)
    if first is None:
        return tensors
    wrapping = first.removesuffix("4.0.")
    return {_plain(name, numbered.get(name), wrapping): tensor for name, tensor in tensors.items()}


def _plain(name: str, match: re.Match[str] | None, wrapping: str) -> str:
    if match is None or not match[1].startswith(wrapping):
        return name
    number, _, rest = match[1].removeprefix(wrapping).partition(".")
    return f"{SEQUENCE[number]}.{rest}{match[2]}" if number in SEQUENCE else name


def _triple(values: Any) -> Triple | None:
    if not isinstance(values, list | tuple) or len(values) != 3:
        return None
    if not all(isinstance(value, int | float) for value in values):
        return None
    return (float(values[0]), float(values[1]), float(values[2]))


def _whitenings(described: Any) -> dict[str, tuple[ArrayReference, ArrayReference]]:
    found = {}
    for name, kinds in described.items() if isinstance(described, dict) else ():
        for kind, parts in kinds.items() if isinstance(kinds, dict) else ():
            pair = (parts.get("m"), parts.get("P")) if isinstance(parts, dict) else (None, None)
            if isinstance(pair[0], ArrayReference) and isinstance(pair[1], ArrayReference):
                found[f"{name}/{kind}"] = (pair[0], pair[1])
    return found
