"""An Encoder that whitens, fitted to vectors of the same Encoder without whitening."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from perisphere.encoder.encoder import Encoder
from perisphere.encoder.whitening import fit_learned, fit_pca, label_pairs
from perisphere.errors import PerisphereError

PAIRS = 200_000

WhiteningKind = Literal["pca", "learned"]


def whiten(
    encoder: Encoder,
    vectors: np.ndarray,
    dim: int | None = None,
    *,
    kind: WhiteningKind = "pca",
    labels: Sequence[str | None] | None = None,
    shrinkage: float = 0.0,
    pairs: int = PAIRS,
    seed: int = 0,
) -> Encoder:
    """Return ``encoder`` followed by a whitening.

    Args:
        encoder: what made ``vectors``, at the same scales; it stays as it is.
        vectors: float ``[n, encoder.dim]`` unit rows, read in blocks.
        dim: numbers of an embedding afterwards; ``None`` keeps every direction that varies.
        kind: ``pca``, or ``learned`` from pairs of rows with one label.
        labels: of the rows; ``learned`` needs them.
        shrinkage: 0 to 1; see :func:`~perisphere.encoder.whitening.fit_pca`.
        pairs: at most, for ``learned``.
        seed: of the draw of pairs where there are more.

    Raises:
        PerisphereError: it whitens already, labels are missing, or there are too few vectors or pairs.
    """
    if encoder.whitening is not None:
        raise PerisphereError(
            f"the encoder {encoder.name!r} whitens already; take it off with "
            "`perisphere encoder change --no-whitening` first."
        )
    if vectors.shape[1] != encoder.dim:
        raise PerisphereError(
            f"vectors of {vectors.shape[1]} numbers, but the encoder {encoder.name!r} gives {encoder.dim}."
        )
    facts: dict[str, object] = {"kind": kind, "vectors": len(vectors), "shrinkage": shrinkage}
    if kind == "pca":
        fitted = fit_pca(vectors, dim, shrinkage=shrinkage)
    else:
        if labels is None or len(labels) != len(vectors):
            raise PerisphereError("a learned whitening needs the label of each vector.")
        found = label_pairs(np.array(labels, dtype=object), pairs, seed=seed)
        fitted = fit_learned(vectors, *found, dim, shrinkage=shrinkage)
        facts |= {"pairs": len(found[0]), "seed": seed}
    return Encoder(
        encoder.net,
        encoder.preprocessing,
        name=f"{encoder.name}-whitened",
        provenance={**encoder.provenance, "whitening": facts},
        scales=encoder.scales,
        whitening=fitted,
    )
