"""Tag alignment: a photo is nearer to the mean of its tags than to those of the other photos of the batch.

Source: Gattupalli et al., "Weakly supervised deep image hashing through tag embeddings" (WDHT), CVPR 2019, as
the comparison loss of Wang et al., AAAI 2021.
"""

import torch
from torch import Tensor
from torch.nn import functional

from perisphere.losses.tag_pairs import TagPairs


def tag_alignment(vectors: Tensor, tag_vectors: Tensor, pairs: TagPairs, margin: float = 0.7) -> Tensor:
    """Return the mean over photos and others of ``max(0, margin + z.a' - z.a)``.

    ``z`` is the unit vector of a photo, ``a`` the mean of the unit vectors of its tags and ``a'`` that of
    another photo's.

    Args:
        vectors: float ``[b, d]``, photos, two or more; not normalised.
        tag_vectors: float ``[t, d]``; not normalised. They are not learned.
        pairs: the tags of the photos.
        margin: by how much nearer; 0 or more.
    """
    tag_vectors = tag_vectors.detach().to(torch.promote_types(tag_vectors.dtype, torch.float32))
    with torch.autocast(vectors.device.type, enabled=False):
        unit = functional.normalize(vectors.to(tag_vectors.dtype), dim=1)
        products = unit @ mean_tags(tag_vectors, pairs, len(vectors)).T
        hinges = (margin + products - products.diagonal()[:, None]).clamp(min=0)
        others = len(vectors) - 1
        return (hinges.sum() - margin * len(vectors)) / (len(vectors) * max(others, 1))


def mean_tags(tag_vectors: Tensor, pairs: TagPairs, photos: int) -> Tensor:
    """Return the mean of the unit vectors of each photo's tags, float ``[photos, d]``; zero without tags."""
    unit = functional.normalize(tag_vectors, dim=1)
    sums = unit.new_zeros(photos, unit.shape[1]).index_add_(0, pairs.photos, unit[pairs.tags])
    counts = torch.bincount(pairs.photos, minlength=photos).clamp(min=1)
    return sums / counts[:, None]
