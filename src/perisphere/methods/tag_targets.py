"""What photos with tags are drawn to."""

from dataclasses import dataclass, replace

import torch
from numpy.typing import NDArray
from torch import Tensor

from perisphere.losses import TagPairs


@dataclass(frozen=True)
class TagTargets:
    """Tag vectors, and which tags each photo has; photos are known by their number.

    Attributes:
        vectors: float32 ``[t, d]``, not normalised.
        indptr: int64 ``[n + 1]``, where the tags of each photo begin in ``indices``.
        indices: int64, rows of ``vectors``; a photo has none of them twice.
    """

    vectors: Tensor
    indptr: Tensor
    indices: Tensor

    @classmethod
    def of_arrays(cls, vectors: NDArray, indptr: NDArray, indices: NDArray) -> "TagTargets":
        """Take NumPy's arrays."""
        return cls(torch.tensor(vectors).float(), torch.tensor(indptr), torch.tensor(indices))

    def to(self, device: torch.device) -> "TagTargets":
        """Return the same on another device."""
        return replace(self, **{name: tensor.to(device) for name, tensor in vars(self).items()})

    def pairs(self, photos: Tensor) -> TagPairs:
        """Return the tags of photos int64 ``[b]``, which count as a batch from 0."""
        return TagPairs.of_rows(self.indptr, self.indices, photos)
