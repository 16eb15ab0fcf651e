"""Outlines of masks brought to those of the picture by a dense conditional random field."""

import numpy as np

from perisphere.errors import PerisphereError

LEAST = 1e-5  # of a mask, below which its logarithm would run away


def dense_crf(picture: np.ndarray, masks: np.ndarray, iterations: int = 10) -> np.ndarray:
    """Refine masks by mean-field inference in a fully connected CRF.

    Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (2011),
    with the settings published for WikiScenes: a unary term of -log(mask), a smoothing term of 3 pixels and
    weight 3, and a bilateral term of 80 pixels, 13 grey levels and weight 10.

    Args:
        picture: uint8 RGB ``[h, w, 3]``.
        masks: float32 ``[n, h, w]``, not negative, n at least 1; they need not sum to 1.
        iterations: of mean-field inference.

    Returns:
        float32 ``[n, h, w]``, probabilities over n.

    Raises:
        PerisphereError: pydensecrf2 is not installed.
    """
    crf = _crf()
    count, height, width = masks.shape
    if count == 1:
        return np.ones_like(masks, np.float32)
    model = crf.DenseCRF2D(width, height, count)
    unary = -np.log(np.clip(masks, LEAST, None))
    model.setUnaryEnergy(np.ascontiguousarray(unary.reshape(count, -1), np.float32))
    model.addPairwiseGaussian(sxy=3, compat=3)
    model.addPairwiseBilateral(sxy=80, srgb=13, rgbim=np.ascontiguousarray(picture), compat=10)
    return np.array(model.inference(iterations), np.float32).reshape(count, height, width)


def check_crf() -> None:
    """Raise the error of a missing library before any work is done."""
    _crf()


def _crf():  # type: ignore[no-untyped-def]
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise PerisphereError(
            "a dense CRF needs pydensecrf2, which is not installed; `pip install 'perisphere[crf]'`, "
            "or leave --crf out."
        ) from error
    return densecrf
