"""Codes and codebooks that are learned while the network is: additive, in the metric of the tags.

Source: Wang et al., "Weakly supervised deep hyperspherical quantization for image retrieval", AAAI 2021,
section on the alternating optimisation: codes by iterated conditional modes, codebooks in closed form.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perisphere.codes import books
from perisphere.codes.codebooks import Codebooks
from perisphere.errors import PerisphereError

ROWS = 65_536
"""Measured at once."""


@dataclass(frozen=True)
class CodePlan:
    """How codebooks are made.

    Attributes:
        books: of a code.
        words: of a book, at most 256.
        sweeps: see :meth:`~perisphere.codes.codebooks.Codebooks.encode`, as ``restarts`` and ``beam``.
        restarts: see there.
        beam: see there.
        unit: whether unit rows are coded, in the metric of unit tag vectors; otherwise both as they are.
    """

    books: int = 4
    words: int = 256
    sweeps: int = 3
    restarts: int = 0
    beam: int = 0
    unit: bool = True

    def encode(self, codebooks: Codebooks, vectors: NDArray, seed: int) -> NDArray[np.uint8]:
        """Return the codes of vectors float32 ``[n, d]``: uint8 ``[n, books]``."""
        return codebooks.encode(
            vectors, sweeps=self.sweeps, restarts=self.restarts, beam=self.beam, seed=seed
        )


def fitted(
    vectors: NDArray,
    plan: CodePlan,
    metric: NDArray,
    seed: int,
    *,
    words: NDArray | None = None,
    rounds: int = 1,
    about: Mapping[str, Any] | None = None,
) -> tuple[Codebooks, NDArray[np.uint8]]:
    """Choose codes and then words, ``rounds`` times; return the codebooks and the codes they came from.

    Args:
        vectors: float32 ``[n, d]``, as they are coded; at least as many as a book has words.
        plan: what to make.
        metric: float32 ``[d, d]``, a root of the tags' metric.
        seed: of everything random.
        words: float32 ``[books, words, d]`` to begin with; ``None``: k-means of each part of the axes.
        rounds: 1 or more.
        about: what the codebooks say of how they were made.
    """
    seed %= 2**30  # k-means takes 31 bits
    if words is None:
        words = books.start(vectors, plan.books, plan.words, seed=seed)
    for turn in range(rounds):
        codes = plan.encode(Codebooks(words, "additive", plan.unit, metric), vectors, seed + turn)
        words = books.update(vectors, codes, words)
    return Codebooks(words, "additive", plan.unit, metric, dict(about or {})), codes


def lost(codebooks: Codebooks, vectors: NDArray, codes: NDArray) -> float:
    """Return what codes lose of vectors: the share of their squared length in the metric, 0 or more."""
    metric = np.eye(codebooks.dim, dtype=np.float32) if codebooks.metric is None else codebooks.metric
    whole = sum(float(np.square(part @ metric).sum(dtype=np.float64)) for part in _parts(vectors))
    return float(codebooks.error(vectors, codes).sum()) / max(whole, np.finfo(float).tiny)


def _parts(vectors: NDArray) -> list[NDArray]:
    return [vectors[start : start + ROWS] for start in range(0, len(vectors), ROWS)]


class LearnedCodes:
    """The code of every photo that is learned from, and the features that they were chosen for.

    Every device holds all of it. These are no buffers of a module, since those would travel between devices
    with every step.

    Args:
        photos: number of them.
        plan: what to make.
        metric: float32 ``[d, d]``, a root of the tags' metric.

    Attributes:
        features: float32 ``[photos, d]``, as they are coded: each from the last batch that the photo was in.
        seen: bool ``[photos]``, which have one.
        codes: uint8 ``[photos, books]``.
        coded: bool ``[photos]``, which have one.
        words: float32 ``[books, words, d]``, or ``None`` before the first update.
    """

    def __init__(self, photos: int, plan: CodePlan, metric: NDArray[np.float32]) -> None:
        self.plan, self.metric = plan, metric
        self.root = torch.from_numpy(metric)
        self.features = torch.zeros(photos, len(metric))
        self.seen = torch.zeros(photos, dtype=torch.bool)
        self.codes = torch.zeros(photos, plan.books, dtype=torch.uint8)
        self.coded = torch.zeros(photos, dtype=torch.bool)
        self.words: Tensor | None = None

    def to(self, device: torch.device) -> None:
        """Move everything to a device."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))

    def keep(self, photos: Tensor, features: Tensor) -> None:
        """Remember the features float ``[b, d]`` of photos int64 ``[b]``."""
        self.features[photos] = features.detach().to(self.features)
        self.seen[photos] = True

    def decoded(self, photos: Tensor) -> Tensor:
        """Return the sums of the words of photos int64 ``[b]`` that have a code, float32 ``[b, d]``."""
        assert self.words is not None
        codes = self.codes[photos].long()
        return self.words[torch.arange(len(self.words), device=codes.device), codes].sum(1)

    def update(self, seed: int) -> float | None:
        """Choose codes for the features that there are, and then words.

        Returns:
            What the new words leave of the features, as a share of their squared inner products with the
            tags; ``None`` if there are fewer photos yet than words of a book.

        Raises:
            PerisphereError: features that are not finite.
        """
        there = self.seen.nonzero().squeeze(1)
        if len(there) < self.plan.words:
            return None
        vectors = self.features[there].cpu().numpy()
        if not np.isfinite(vectors).all():
            raise PerisphereError(
                "the network gives embeddings that are not finite: it learned too fast. Begin another run "
                "with a lower optimizer.lr, or with clip_gradient."
            )
        words = None if self.words is None else self.words.cpu().numpy()
        codebooks, codes = fitted(vectors, self.plan, self.metric, seed, words=words)
        self.words = torch.from_numpy(codebooks.words).to(self.features)
        self.codes[there] = torch.from_numpy(codes).to(self.codes)
        self.coded[there] = True
        return lost(codebooks, vectors, codes)

    def codebooks(self, about: Mapping[str, Any]) -> Codebooks | None:
        """Return the codebooks as they are, which say ``about`` of how they were made."""
        if self.words is None:
            return None
        words = self.words.cpu().numpy().copy()
        return Codebooks(words, "additive", self.plan.unit, self.metric, dict(about))

    def state(self) -> dict[str, Tensor | None]:
        """Return everything that a resumed run needs."""
        return {name: getattr(self, name) for name in ("features", "seen", "codes", "coded", "words")}

    def take(self, state: Mapping[str, Tensor | None]) -> None:
        """Take over what :meth:`state` returned, on whatever device."""
        for name, value in state.items():
            setattr(self, name, None if value is None else value.to(self.features.device))
