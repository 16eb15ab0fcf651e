"""How near a runtime's vectors are to torch's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from perisphere.encoder.loading import Batch, Source, batches
from perisphere.encoder.preprocessing import Box
from perisphere.encoder.runtimes.compiled import Compiled
from perisphere.encoder.runtimes.exported import Agreement
from perisphere.errors import PerisphereError
from perisphere.progress import bar

if TYPE_CHECKING:
    from perisphere.encoder.encoder import Encoder

GENERATED = 6
LONGEST = 512
"""Pixels of a generated photo's side."""
BATCH = 16


def generated_photos(encoder: "Encoder") -> list[np.ndarray]:
    """Return some drawn photos of several shapes, uint8 ``[h, w, 3]``."""
    from perisphere.catalog.scenes import take_photo

    side = min(LONGEST, max(64, *encoder.preprocessing.size))
    shapes = ((1.0, 1.0), (0.75, 1.0), (1.0, 0.625))
    photos = [take_photo(7, number, 0, size=side).pixels for number in range(GENERATED)]
    return [
        np.ascontiguousarray(photo[: round(side * down), : round(side * across)])
        for photo, (down, across) in zip(photos, shapes * 2, strict=True)
    ]


def unit_rows(
    encoder: "Encoder",
    photos: Sequence[Source],
    boxes: Sequence[Box | None] | None = None,
    compiled: Compiled | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Embed photos by torch in float32, or by ``compiled``; those that cannot be read are left out.

    Returns:
        float32 ``[m, dim]`` unit rows, and int64 ``[m]``, which photos they are of.
    """
    from perisphere.encoder.inference import Inference

    inference = Inference(
        encoder.net,
        encoder.preprocessing,
        device="cpu",
        precision="float32",
        scales=encoder.scales,
        whitening=encoder.whitening,
        compiled=compiled,
    )
    found: list[np.ndarray] = [np.empty((0, encoder.dim), np.float32)]
    read: list[np.ndarray] = [np.empty(0, np.int64)]
    with bar("torch" if compiled is None else compiled.runtime, len(photos)) as advance:
        for batch in batches(photos, inference.preprocessing, batch_size=BATCH, boxes=boxes):
            found.append(inference(batch.pictures))
            read.append(batch.rows)
            advance(_size(batch))
    return np.concatenate(found), np.concatenate(read)


def compared(torch_rows: np.ndarray, rows: np.ndarray, photos: str) -> Agreement:
    """Compare unit rows ``[n, d]`` pair by pair; two zero rows agree, and one does not with another.

    Raises:
        PerisphereError: there is none.
    """
    if not len(rows):
        raise PerisphereError(f"{photos}: none of the photos can be read, so nothing could be compared.")
    cosines = np.einsum("nd,nd->n", torch_rows.astype(np.float64), rows.astype(np.float64))
    both_empty = ~torch_rows.any(axis=1) & ~rows.any(axis=1)
    cosines[both_empty] = 1
    return Agreement(
        images=len(rows),
        photos=photos,
        cosine=float(min(cosines.min(), 1)),
        mean_cosine=float(min(cosines.mean(), 1)),
        difference=float(np.abs(torch_rows - rows).max()),
    )


def _size(batch: Batch) -> int:
    return batch.stop - batch.start
