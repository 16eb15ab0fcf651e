"""Which tags the photos of a batch have."""

from typing import NamedTuple

import torch
from torch import Tensor


class TagPairs(NamedTuple):
    """A photo and one of its tags, for every tag that a photo of the batch has.

    Attributes:
        photos: int64 ``[p]``, positions in the batch.
        tags: int64 ``[p]``, rows of the tag vectors; a photo has none of them twice.
    """

    photos: Tensor
    tags: Tensor

    @classmethod
    def of_rows(cls, indptr: Tensor, indices: Tensor, rows: Tensor) -> "TagPairs":
        """Return the pairs of photos at positions ``rows`` of a sparse table of all photos.

        Args:
            indptr: int64 ``[n + 1]``, where the tags of each photo begin in ``indices``.
            indices: int64 ``[...]``, tags of one photo after another.
            rows: int64 ``[b]``, 0 or more.
        """
        starts, counts = indptr[rows], indptr[rows + 1] - indptr[rows]
        photos = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), counts)
        before = counts.cumsum(0) - counts
        within = torch.arange(len(photos), device=rows.device) - before[photos]
        return cls(photos, indices[starts[photos] + within])
