"""The order of the photos of an epoch that learns from tuples: each query, its positive, its hard negatives.

Source: Radenovic et al., "Fine-tuning CNN image retrieval with no human annotation", PAMI 2019, section 3.3.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from perisphere.encoder import Preprocessing
from perisphere.errors import PerisphereError
from perisphere.methods.mining import hard_negatives
from perisphere.nets import EmbeddingNet
from perisphere.training.loader import Batches, Places, derive

Embed = Callable[[np.ndarray], np.ndarray]
"""Positions int64 ``[n]`` to unit rows float32 ``[n, d]``, by the network as it is now."""


class TupleOrder:
    """Draws queries, positives and a pool in every epoch, and mines the negatives from the pool.

    Everything drawn follows from (seed, epoch); the negatives from the network at the epoch's beginning, too.

    Args:
        targets: int64 ``[n]``, class of each photo; a photo alone in its class is never a query.
        queries: tuples of an epoch, at most one for each possible query.
        pool: photos that negatives are mined from, at most all.
        negatives: of each tuple, all of different classes.
        batch: tuples of a batch; what does not fill one is left out.
        seed: of the draws.
        fixed: every epoch has the same queries and pool, as validation needs it.

    Raises:
        PerisphereError: no class has two photos, or there are too few classes for the negatives.
    """

    def __init__(
        self,
        targets: np.ndarray,
        *,
        queries: int,
        pool: int,
        negatives: int,
        batch: int = 1,
        seed: int,
        fixed: bool = False,
    ) -> None:
        self.targets, self.negatives, self.seed, self.fixed = targets, negatives, seed, fixed
        self.shuffle = not fixed
        where = "validation photos" if fixed else "training photos"
        mend = " Or set data.0.val=null to train without." if fixed else ""
        sizes = np.bincount(targets)
        self.possible = np.flatnonzero(sizes[targets] > 1)
        if not len(self.possible):
            raise PerisphereError(f"{where}: no class has two, so none is a query with its positive.{mend}")
        classes = int((sizes > 0).sum())
        if classes <= negatives:
            raise PerisphereError(
                f"{where}: {negatives} negatives need {negatives + 1} classes, there are {classes}. "
                f"Lower tuples.negatives.{mend}"
            )
        self.queries = min(queries, len(self.possible))
        self.queries -= self.queries % min(batch, self.queries)
        self.pool = min(pool, len(targets))
        self.epoch = 0
        self.embed: Embed | None = None

    @property
    def count(self) -> int:
        """Photos of an epoch."""
        return self.queries * (2 + self.negatives)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next order."""
        self.epoch = 0 if self.fixed else epoch

    def __call__(self) -> Places:
        """Return the places of the epoch."""
        assert self.embed is not None
        draw = np.random.default_rng(derive(self.seed, self.epoch))
        queries = draw.permutation(self.possible)[: self.queries]
        positives = np.array([self._positive(row, draw) for row in queries])
        pool = draw.permutation(len(self.targets))[: self.pool]
        vectors = self.embed(np.concatenate([queries, pool]))
        mined = hard_negatives(
            vectors[: self.queries],
            self.targets[queries],
            vectors[self.queries :],
            self.targets[pool],
            self.negatives,
        )
        return Places.of(np.column_stack([queries, positives, pool[mined.negatives]]).ravel())

    def _positive(self, row: int, draw: np.random.Generator) -> int:
        others = np.flatnonzero(self.targets == self.targets[row])
        return int(draw.choice(others[others != row]))


def embedder(net: EmbeddingNet, loader: Batches, preprocessing: Preprocessing) -> Embed:
    """Return what embeds the loader's photos with ``net`` as it is when called, in evaluation mode.

    Args:
        net: left in the modes that it is in.
        loader: its pictures may be larger than the network's input, for random crops; their middle is taken.
        preprocessing: of the network's input.
    """

    def embed(rows: np.ndarray) -> np.ndarray:
        modes = {module: module.training for module in net.modules()}
        device = next(net.parameters()).device
        net.eval()
        parts = []
        with torch.no_grad():
            for pictures in loader.pictures(rows):
                vectors = net(_input(pictures.to(device), preprocessing))
                parts.append(functional.normalize(vectors).float().cpu())
        for module, mode in modes.items():
            module.training = mode
        return torch.cat(parts).numpy()

    return embed


def _input(pictures: Tensor, preprocessing: Preprocessing) -> Tensor:
    if pictures.dtype != torch.uint8:  # what frozen layers made of the photos
        return pictures
    height, width = preprocessing.size
    top, left = (pictures.shape[1] - height) // 2, (pictures.shape[2] - width) // 2
    return preprocessing.normalise(pictures[:, top : top + height, left : left + width])
