"""SIFT descriptors of a picture (Lowe, IJCV 2004), by OpenCV."""

import cv2
import numpy as np
from numpy.typing import NDArray

DIM = 128


def sift(picture: NDArray[np.uint8], *, keypoints: int = 0, root: bool = True) -> NDArray[np.float32]:
    """Describe the key points of a picture.

    Args:
        picture: uint8 RGB ``[h, w, 3]``.
        keypoints: at most, those of the strongest contrast; 0 takes all. Where contrasts are equal OpenCV may
            give one or two more.
        root: RootSIFT (Arandjelovic and Zisserman, CVPR 2012): Euclidean distances of the square roots of
            L1-normalised histograms compare them as the Hellinger kernel does.

    Returns:
        float32 ``[m, 128]``; ``m`` is 0 where the picture has no key point.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    _, found = cv2.SIFT.create(nfeatures=keypoints).detectAndCompute(grey, None)
    if found is None:
        return np.empty((0, DIM), np.float32)
    return rooted(found) if root else found


def rooted(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the square roots of L1-normalised rows ``[m, 128]``, which have length one; zero stays zero."""
    sums = descriptors.sum(axis=1, keepdims=True)
    return np.sqrt(descriptors / np.where(sums > 0, sums, 1))
