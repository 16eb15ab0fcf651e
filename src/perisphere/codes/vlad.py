"""VLAD: how the local descriptors of a picture lie about the words of a vocabulary, as one vector.

Source: Jegou, Douze, Schmid and Perez, CVPR 2010; the normalisation of each word's part: Arandjelovic and
Zisserman, "All about VLAD", CVPR 2013.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from perisphere.codes.sift import DIM, sift


class VladSpec(BaseModel):
    """What a :class:`VladNet` computes.

    Attributes:
        kind: tells it from the specification of a network.
        words: in the vocabulary.
        keypoints: of a picture, at most; 0 takes all.
        root: RootSIFT instead of SIFT.
        intra: bring the part of each word to length one: a repeated pattern then does not drown the rest.
        power: of each number, its sign kept; 1/2 is the signed square root.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["vlad"] = "vlad"
    words: Annotated[int, Field(ge=1, le=4096)] = 64
    keypoints: Annotated[int, Field(ge=0, le=100_000)] = 1000
    root: bool = True
    intra: bool = True
    power: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.5


class VladNet(nn.Module):
    """Pictures to VLAD vectors: SIFT of the pictures in threads, a vocabulary as the only weights.

    Attributes:
        spec: what is computed.
        dim: ``words * 128``.
        nonnegative: false: residuals have both signs.
    """

    vocabulary: Tensor
    nonnegative = False

    def __init__(self, spec: VladSpec) -> None:
        super().__init__()
        self.spec = spec
        self.dim = spec.words * DIM
        self.register_buffer("vocabulary", torch.zeros(spec.words, DIM))

    def forward(self, pictures: Sequence[NDArray[np.uint8]], threads: int = 1) -> Tensor:
        """Return float32 ``[n, dim]``, rows of length one; a picture without key points is a zero row.

        Args:
            pictures: uint8 RGB ``[h, w, 3]`` each, of any size.
            threads: pictures described at once.
        """
        vocabulary = self.vocabulary.numpy()
        with ThreadPoolExecutor(max(1, threads), thread_name_prefix="sift") as pool:
            rows = list(pool.map(lambda picture: self._vector(picture, vocabulary), pictures))
        return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, self.dim)

    def local(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the local descriptors of a picture, float32 ``[m, 128]``."""
        return sift(picture, keypoints=self.spec.keypoints, root=self.spec.root)

    def _vector(self, picture: NDArray[np.uint8], vocabulary: NDArray[np.float32]) -> NDArray[np.float32]:
        return aggregate(self.local(picture), vocabulary, intra=self.spec.intra, power=self.spec.power)


def aggregate(
    descriptors: NDArray, vocabulary: NDArray, *, intra: bool = False, power: float = 0.5
) -> NDArray:
    """Return the VLAD vector of a picture.

    Each descriptor goes to its nearest word; the differences to the word are summed, word by word; then come
    the intra-normalisation, the power law and one normalisation of the whole.

    Args:
        descriptors: ``[m, d]``.
        vocabulary: ``[k, d]``.
        intra: bring each word's sum to length one.
        power: of each number, its sign kept.

    Returns:
        ``[k * d]`` in the dtype of the arguments; zero where there is no descriptor, or all lie on words.
    """
    nearest = assign(descriptors, vocabulary)
    member = (nearest == np.arange(len(vocabulary))[:, None]).astype(vocabulary.dtype)
    sums = member @ (descriptors - vocabulary[nearest])
    if intra:
        sums = _unit(sums)
    powered = np.sign(sums) * np.abs(sums) ** power
    return _unit(powered.reshape(1, -1))[0]


def assign(descriptors: NDArray, vocabulary: NDArray) -> NDArray[np.int64]:
    """Return the nearest word of each descriptor, ``[m]``, by Euclidean distance."""
    squares = np.einsum("kd,kd->k", vocabulary, vocabulary)
    return np.argmin(squares - 2 * (descriptors @ vocabulary.T), axis=1)


def _unit(rows: NDArray) -> NDArray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)
