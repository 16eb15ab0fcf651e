"""Masks of the concepts in a photo, by an encoder that segments."""

import copy
from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from perisphere.catalog.catalog import REGIONS
from perisphere.encoder.dense_crf import check_crf, dense_crf
from perisphere.encoder.encoder import Encoder
from perisphere.encoder.inference import Precision, choose_device, choose_precision
from perisphere.encoder.mask_merging import MaskEntry, merged, raise_background
from perisphere.encoder.whole_picture import SMALLEST, whole_picture
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets.pamr import refine as fitted_to_colours
from perisphere.nets.segmentation import SegmentationNet

Keep = int | float | Literal["labels"]
LARGEST = 2048  # pixels of the longer side that masks are computed at; labels have the photo's own size
DAMAGED = "the network gives NaN: its weights are damaged; import or train it again."


class Segmentation(NamedTuple):
    """What is where in a photo.

    Attributes:
        labels: uint8 ``[h, w]``, of the photo's size: 0 background, ``k + 1`` the ``k``-th class.
        masks: float32 ``[1 + C, h', w']``, the background first, not normalised; of the photo's size up to
            :data:`LARGEST` pixels.
        scores: float32 ``[C]``, the sigmoid of the class scores, the largest of all scales.
        kept: bool ``[C]``, classes that could be in ``labels``.
    """

    labels: np.ndarray
    masks: np.ndarray
    scores: np.ndarray
    kept: np.ndarray


class Segmenter:
    """A copy of a segmentation network on its device, and how its masks become labels.

    At scale 1 a photo is seen at its own size, shrunk where its longer side is larger than the encoder's
    input; its aspect ratio stays.

    Args:
        encoder: of a segmentation network.
        scales: factors of the size at which a photo is seen.
        flip: whether it is also seen mirrored at each.
        background_power: the background's mask is raised to it; above 1 the background shrinks. ``None``
            takes the published 4 for the single-stage head, and 1 for class activation maps, whose background
            is a constant.
        keep: which classes may be in a photo: a whole number, so many with the best scores (the published
            rule is 1); a fraction, those whose score is at least that; ``"labels"``, those that are named.
        refine: whether masks are fitted to the photo's colours by PAMR.
        crf: whether they are by a dense CRF, at the end.
        size: pixels of the longer side at scale 1; ``None`` takes the encoder's input.
        device: see :func:`~perisphere.encoder.inference.choose_device`.
        precision: see :func:`~perisphere.encoder.inference.choose_precision`.

    Raises:
        PerisphereError: the encoder does not segment, or the CRF's library is missing.
        UsageError: an option out of its range.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        scales: Sequence[float] = (1,),
        flip: bool = True,
        background_power: float | None = None,
        keep: Keep = 1,
        refine: bool = False,
        crf: bool = False,
        size: int | None = None,
        device: str | torch.device | None = None,
        precision: Precision = "auto",
    ) -> None:
        net = encoder.segmentation
        _check(scales, background_power, keep, size)
        if crf:
            check_crf()
        self.encoder = encoder
        self.classes: tuple[str, ...] = tuple(net.spec.classes)
        self.scales, self.flip = tuple(scales), flip
        self.background_power = background_power or (4 if net.spec.head == "single-stage" else 1)
        self.keep, self.refine, self.crf = keep, refine, crf
        self.size = size or max(encoder.preprocessing.size)
        self.device = choose_device(device)
        self.dtype = choose_precision(precision, self.device)
        self.net: SegmentationNet = copy.deepcopy(net).eval().requires_grad_(False)
        self.net.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def segment(self, picture: np.ndarray, labels: Sequence[str] = ()) -> Segmentation:
        """Segment one photo.

        Args:
            picture: uint8 RGB ``[h, w, 3]``.
            labels: classes to keep, where ``keep`` is ``"labels"``; names of no class are passed over.

        Raises:
            PerisphereError: another dtype or shape, an encoder without masks, or NaN out of the network.
        """
        return self.segment_at(picture, (self.background_power,), labels)[0]

    def segment_at(
        self, picture: np.ndarray, powers: Sequence[float], labels: Sequence[str] = ()
    ) -> list[Segmentation]:
        """Segment one photo with the background raised to each of several powers; it is seen once.

        Args:
            picture: uint8 RGB ``[h, w, 3]``.
            powers: in place of ``background_power``.
            labels: as :meth:`segment`.

        Raises:
            PerisphereError: as :meth:`segment`.
        """
        self.check_classes()
        entries, scores = self._seen(picture)
        kept = self._kept(scores, labels)
        canvas = _shrunk(picture, LARGEST)
        masks = merged(entries, torch.from_numpy(kept), canvas.shape[:2])
        if self.refine:
            masks = self._refined(masks, canvas)
        found = []
        for power in powers:
            fitted = self._fitted(raise_background(masks, power).numpy(), kept, canvas)
            found.append(Segmentation(_labels(fitted, picture.shape[:2]), fitted, scores, kept))
        return found

    def check_classes(self) -> None:
        """Raise the error of an encoder that has features and no classes."""
        if not self.classes:
            raise PerisphereError(
                f"{self.encoder.name}: was trained without classes, so it has features and no masks; "
                "train with segmentation.classes, or use it with `perisphere match`."
            )

    @torch.inference_mode()
    def features(self, picture: np.ndarray, layer: str = "decoder") -> np.ndarray:
        """Return the unit vectors of a layer, float32 ``[c, h', w']``; a position without any is zero.

        Raises:
            PerisphereError: NaN out of the network.
        """
        images = self._ready(picture, 1)
        with self._autocast():
            features = self.net.features(images, layer)
        vectors = normalize(features.float(), dim=1)[0].cpu().numpy()
        if not np.isfinite(vectors).all():
            raise PerisphereError(DAMAGED)
        return vectors

    @torch.inference_mode()
    def _seen(self, picture: np.ndarray) -> tuple[list[MaskEntry], np.ndarray]:
        """Return the masks of every scale (and mirrored), and the largest score of each class."""
        entries, scores = [], []
        for scale in self.scales:
            image = self._ready(picture, scale)
            batch = torch.cat([image, image.flip(-1)]) if self.flip else image
            with self._autocast():
                maps = self.net.run(batch)
            # as published: corners aligned up to the network's input, not from there to the photo
            height, width = image.shape[-2:]
            masks = self.net.masks_at(maps, (height, width)).float().cpu()
            entries += [MaskEntry(one, mirrored=bool(place)) for place, one in enumerate(masks)]
            scores.append(maps.scores.float().sigmoid().amax(0).cpu())
        best = torch.stack(scores).amax(0).numpy()
        if not np.isfinite(best).all():
            raise PerisphereError(DAMAGED)
        return entries, best

    def _kept(self, scores: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        if self.keep == "labels":
            return np.isin(self.classes, list(labels))
        if isinstance(self.keep, float) and self.keep < 1:
            return scores >= self.keep
        kept = np.zeros(len(scores), bool)
        kept[np.argsort(-scores, kind="stable")[: int(self.keep)]] = True
        return kept

    def _refined(self, masks: Tensor, canvas: np.ndarray) -> Tensor:
        """Fit masks to the photo's colours at the size that the network sees, as in training."""
        photo = torch.from_numpy(np.ascontiguousarray(_shrunk(canvas, self.size))).permute(2, 0, 1)
        fitted = fitted_to_colours(photo[None].float() / 255, masks[None])
        return interpolate(fitted, size=masks.shape[-2:], mode="bilinear", align_corners=False)[0]

    def _fitted(self, masks: np.ndarray, kept: np.ndarray, canvas: np.ndarray) -> np.ndarray:
        if self.crf:
            channels = np.flatnonzero(np.r_[True, kept])
            masks[channels] = dense_crf(canvas, masks[channels])
        return masks

    def _ready(self, picture: np.ndarray, scale: float) -> Tensor:
        """Bring a photo to the network's input at one scale: float32 ``[1, 3, h', w']``."""
        preprocessing = self.encoder.preprocessing
        return whole_picture(picture, preprocessing, self.size, scale=scale, device=self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)


def regions(found: Segmentation, classes: Sequence[str], image: int) -> pl.DataFrame:
    """Return what was found as rows of a catalog's ``regions``: one a class with pixels.

    Args:
        found: a segmentation.
        classes: names, in the order of its scores.
        image: id of the photo in its catalog.
    """
    rows = []
    for place in np.unique(found.labels):
        if place == 0 or place > len(classes):
            continue
        mask = found.labels == place
        down, across = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        score = float(found.scores[place - 1])
        box = (across[0], down[0], across[-1] + 1, down[-1] + 1)
        rows.append((image, classes[place - 1], score, mask.mean(), *map(int, box)))
    return pl.DataFrame(rows, schema=REGIONS, orient="row")


def _labels(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    labels = masks.argmax(0).astype(np.uint8)
    if labels.shape == size:
        return labels
    return cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)


def _shrunk(picture: np.ndarray, longer: int) -> np.ndarray:
    """Shrink to a longer side of at most ``longer`` pixels."""
    height, width = picture.shape[:2]
    if max(height, width) <= longer:
        return picture
    factor = longer / max(height, width)
    target = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(picture, target, interpolation=cv2.INTER_AREA)


def _check(scales: Sequence[float], background_power: float | None, keep: Keep, size: int | None) -> None:
    if not scales or not all(np.isfinite(scale) and 0.1 <= scale <= 8 for scale in scales):
        raise UsageError(f"scales {list(scales)}: give numbers from 0.1 to 8, such as 1,0.5,1.5,2.")
    if background_power is not None and not (np.isfinite(background_power) and background_power > 0):
        raise UsageError(f"background power {background_power}: give a number above 0; 1 changes nothing.")
    if keep != "labels" and (isinstance(keep, str) or not _is_share_or_count(keep)):
        raise UsageError(
            f"keep {keep!r}: give a whole number of classes, a score between 0 and 1, or labels."
        )
    if size is not None and not SMALLEST <= size <= LARGEST:
        raise UsageError(f"size {size}: give {SMALLEST} to {LARGEST} pixels.")


def _is_share_or_count(keep: float) -> bool:
    return 0 < keep < 1 or (1 <= keep < np.inf and keep == int(keep))
