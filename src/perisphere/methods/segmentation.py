"""Method ``segmentation``: masks of concepts from the concepts of whole photos, and points that photos share.

Sources: Araslanov and Roth, "Single-stage semantic segmentation from image labels", CVPR 2020: a network
learns the confident, refined pixels of its own masks; Wu et al., "Towers of Babel: combining images,
language, and 3D geometry for learning multimodal vision", ICCV 2021: the same point has the same feature in
two photos.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from perisphere.losses.class_scores import ClassLoss, class_loss
from perisphere.losses.correspondence import Correspondence, correspondence, draw_negatives
from perisphere.losses.mask_loss import mask_loss
from perisphere.losses.pseudo_masks import labelled_masks, pseudo_masks
from perisphere.metrics.class_scores import mean_average_precision
from perisphere.nets.conv_block import resized
from perisphere.nets.pamr import refine
from perisphere.nets.segmentation import Maps, SegmentationNet

CONCEPT_MAP = "val/concept_mAP"
"""Name of the figure that the best epoch is chosen by where there are concepts: the mean over the concepts of
the average precision of their scores on photos to validate with."""

FIGURES = (
    "loss",
    "class_loss",
    "accuracy",
    "foreground",
    "mask_loss",
    "masks_kept",
    "correspondence_loss",
    "keypoints",
)
"""What an epoch may log."""


class Views(NamedTuple):
    """What a step learns from: queries and then their partners, or photos alone.

    Attributes:
        images: float32 ``[n, 3, h, w]``, the network's input.
        colours: float32 ``[n, 3, h, w]``, the same in 0..1.
        related: ``[n, C]``, 1 for each concept; all 0 where none is known.
        primary: int64 ``[n]``, the first concept, -1 where none is known.
        points: float32 ``[b, k, 4]``, where pairs share points: row and column in the query, then in the
            partner, in 0..1. ``None``: these are no pairs.
        real: bool ``[b, k]``, whether there is a point.
        seed: of what is drawn for this batch.
    """

    images: Tensor
    colours: Tensor
    related: Tensor
    primary: Tensor
    points: Tensor | None
    real: Tensor | None
    seed: int


@dataclass(frozen=True)
class MaskTerms:
    """How masks are learned from: weight, first epoch (from 0), and how pseudo masks come about."""

    weight: float
    start: int
    dilations: tuple[int, ...]
    iterations: int
    background: float
    foreground: float
    floor: float


@dataclass(frozen=True)
class PointTerms:
    """How shared points are learned from (see :mod:`perisphere.losses.correspondence`).

    Attributes:
        active: whether they are, in an epoch from 0.
        layer: whose features are compared.
    """

    weight: float
    active: Callable[[int], bool]
    layer: str
    kind: Correspondence
    negatives: int
    options: dict[str, Any]


@dataclass(frozen=True)
class SegmentationTerms:
    """What the loss is the sum of.

    Attributes:
        class_weight: of the loss on whole photos; 0 leaves it out.
        class_kind: which one.
        rarity: float ``[C]``, weights of ``separate``.
        masks: ``None`` leaves them out, here and below.
        points: of pairs.
    """

    class_weight: float
    class_kind: ClassLoss
    rarity: Tensor | None
    masks: MaskTerms | None
    points: PointTerms | None


class Segmentation(LightningModule):
    """Class scores of whole photos, masks from a certain epoch on, and features of shared points.

    At the end of an epoch it logs, where they are learned from, ``train/loss``, ``class_loss``, ``accuracy``,
    ``mask_loss``, ``correspondence_loss``, ``foreground`` (mean share of a photo that its concepts' masks
    have), ``masks_kept`` (share of photos whose pseudo masks are learned from) and ``keypoints`` (of a pair);
    of validation ``val/loss`` (without masks), ``class_loss``, ``accuracy``, :data:`CONCEPT_MAP` and
    ``correspondence_loss``. Photos without a known concept count in points alone.

    Args:
        net: that learns.
        terms: of the loss.
        prepare: batch from the loader to :class:`Views`; its second argument says whether it is for training.
        optimise: what ``configure_optimizers`` returns.
    """

    def __init__(
        self,
        net: SegmentationNet,
        terms: SegmentationTerms,
        *,
        prepare: Callable[[Any, bool], Views],
        optimise: Callable[[], Any],
    ) -> None:
        super().__init__()
        self.net, self.terms, self.prepare, self.optimise = net, terms, prepare, optimise
        self._sums: dict[str, dict[str, Tensor]] = {}
        self._seen: list[tuple[Tensor, Tensor]] = []

    def configure_optimizers(self) -> Any:
        """Hand Lightning the optimiser and its schedule."""
        return self.optimise()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Views:
        """Augment and normalise on the device, and find the points that pairs share."""
        return self.prepare(batch, bool(self.trainer.training))

    def training_step(self, views: Views, batch_idx: int) -> Tensor:
        """Return the loss of the batch."""
        found = self._found(views)
        losses = {
            "class_loss": self._class_loss("train", found, views),
            "mask_loss": self._mask_loss(found, views),
            "correspondence_loss": self._point_loss("train", found, views),
        }
        weights = {
            "class_loss": self.terms.class_weight,
            "mask_loss": self.terms.masks.weight if self.terms.masks else 0,
            "correspondence_loss": self.terms.points.weight if self.terms.points else 0,
        }
        loss = _nothing(found)  # there may be nothing to learn from in an epoch
        for name, value in losses.items():
            if value is not None:
                loss = loss + weights[name] * value
        self._count("train", "loss", loss * len(views.images), len(views.images))
        return loss

    def validation_step(self, views: Views, batch_idx: int) -> None:
        """Add up the figures of queries, and of their points."""
        if not len(views.images):
            return
        found = self._found(views)
        queries = len(views.images) // (1 if views.points is None else 2)
        total = found.features.new_zeros((), dtype=torch.float64)
        alone = views._replace(related=views.related[:queries], primary=views.primary[:queries])
        value = self._class_loss("val", found._replace(scores=found.scores[:queries]), alone)
        if value is not None:
            self._seen.append((found.scores[:queries], alone.related))
            total = total + self.terms.class_weight * value
        value = self._point_loss("val", found, views)
        if value is not None and self.terms.points is not None:
            total = total + self.terms.points.weight * value
        self._count("val", "loss", total * queries, queries)

    def on_train_epoch_start(self) -> None:
        """Withdraw the figures of the epoch before: a loss may have ended with it."""
        for name in FIGURES:
            self.trainer.callback_metrics.pop(f"train/{name}", None)

    def on_train_epoch_end(self) -> None:
        """Log the means of the epoch."""
        self._log("train")

    def on_validation_epoch_end(self) -> None:
        """Log the means of the pass, and how well scores tell photos with a concept from those without."""
        self._log("val")
        if not self.net.spec.classes:
            return
        value = mean_average_precision(*self._gathered())
        if not np.isnan(value):
            self.log(CONCEPT_MAP, torch.tensor(value, dtype=torch.float64), logger=False)

    def _gathered(self) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and related concepts of all validated photos with a concept, from all devices."""
        classes = len(self.net.spec.classes)
        rows = [torch.cat((scores.float(), related.float()), 1) for scores, related in self._seen]
        own = torch.cat(rows) if rows else torch.zeros(0, 2 * classes, device=self.device)
        self._seen = []
        most = int(self.trainer.strategy.reduce(torch.tensor(len(own), device=self.device), reduce_op="max"))
        filled = own.new_zeros(most, 2 * classes)
        filled[: len(own)] = own
        gathered = self.all_gather(filled)
        assert isinstance(gathered, Tensor)
        whole = gathered.reshape(-1, 2 * classes).cpu().numpy()
        whole = whole[whole[:, classes:].any(1)]
        return whole[:, :classes], whole[:, classes:] > 0

    def _found(self, views: Views) -> Maps:
        """Run the network; where there are no concepts, no layer behind the compared one."""
        terms = self.terms.points
        layer = self.net.layer("decoder" if terms is None else terms.layer)
        if self.net.spec.classes:
            return self.net.run(views.images, layer)
        features = self.net.features(views.images, layer)
        none = features.new_zeros(len(features), 0)
        return Maps(none, none[..., None, None], none[..., None, None], features)

    def _class_loss(self, phase: str, found: Maps, views: Views) -> Tensor | None:
        """Return the mean over the photos with a known concept."""
        terms, known = self.terms, views.primary >= 0
        if not self.net.spec.classes or not (terms.class_weight or phase == "val"):
            return None
        value = class_loss(
            found.scores, views.related, terms.class_kind, primary=views.primary, rarity=terms.rarity
        )
        right = (found.scores.argmax(1) == views.primary)[known]
        self._count(phase, "class_loss", value * known.sum(), known.sum())
        self._count(phase, "accuracy", right.sum(), known.sum())
        return self._even(value, known.sum())

    def _mask_loss(self, found: Maps, views: Views) -> Tensor | None:
        """Return the mean over the photos with a known concept."""
        terms, known = self.terms.masks, views.primary >= 0
        if not self.net.spec.classes:
            return None
        with torch.no_grad():
            shares = (found.masks[:, 1:].mean((2, 3)) * views.related).sum(1)[known]
            self._count("train", "foreground", shares.sum(), known.sum())
        if terms is None or self.current_epoch < terms.start:
            return None
        losses = _nothing(found)
        if known.any():
            labels = views.related[known]
            pseudo = pseudo_truth(found.masks[known].detach(), views.colours[known], labels, terms)
            losses = mask_loss(found.maps[known], pseudo, labels)
        self._count("train", "mask_loss", losses.sum(), known.sum())
        self._count("train", "masks_kept", (losses > 0).sum(), known.sum())
        return self._even(losses.sum() / known.sum().clamp(min=1), known.sum())

    def _point_loss(self, phase: str, found: Maps, views: Views) -> Tensor | None:
        """Return the sum over the pairs by their number."""
        terms = self.terms.points
        if terms is None or views.points is None or views.real is None:
            return None
        pairs = len(views.points)
        self._count(phase, "keypoints", views.real.sum(), pairs)
        if not terms.active(self.current_epoch) and phase == "train":
            return None
        draws = torch.Generator().manual_seed(views.seed)
        negatives = draw_negatives(terms.kind, views.points, terms.negatives, generator=draws)
        value = correspondence(
            found.features, views.points, views.real, kind=terms.kind, negatives=negatives, **terms.options
        )
        self._count(phase, "correspondence_loss", value, pairs)
        return value / pairs

    def _even(self, mean: Tensor, count: Tensor) -> Tensor:
        """Scale a device's mean so that the mean over the devices is that over all of their photos."""
        if self.trainer.world_size == 1 or not self.trainer.training:
            return mean
        usual = self.trainer.strategy.reduce(count.double(), reduce_op="mean")
        return mean * (count / usual.clamp(min=1e-9)).to(mean.dtype)

    def _count(self, phase: str, name: str, total: Tensor, number: Tensor | int) -> None:
        """Add to a figure's sum and to what it is divided by."""
        pair = torch.stack([total.detach().double(), torch.as_tensor(number).to(total.device).double()])
        sums = self._sums.setdefault(phase, {})
        sums[name] = sums[name] + pair if name in sums else pair

    def _log(self, phase: str) -> None:
        sums = self._sums.pop(phase, {})
        nothing = torch.zeros(2, dtype=torch.float64, device=self.device)
        for name in FIGURES:  # every device has its say on each, whatever photos it saw
            pair = sums.get(name, nothing)
            total, number = self.trainer.strategy.reduce(pair, reduce_op="sum").tolist()
            if number:
                value = torch.tensor(total / number, dtype=torch.float64)
                self.log(f"{phase}/{name}", value, logger=False)


def _nothing(found: Maps) -> Tensor:
    """Return a loss of 0 that every layer that ran has an empty part in.

    It takes one number of each map: their sum in half precision may be beyond the largest one.
    """
    features, maps = (part[:1, :1, :1, :1].float().sum() for part in (found.features, found.maps))
    return (features + maps) * 0


@torch.no_grad()
def pseudo_truth(masks: Tensor, colours: Tensor, labels: Tensor, terms: MaskTerms) -> Tensor:
    """Return the confident pixels of refined masks, ``[n, 1 + C, h, w]`` of zeros and ones.

    Only the channels that a photo's labels leave are refined: the others come out as zeros, anyhow.

    Args:
        masks: float ``[n, 1 + C, h', w']``, background first, in 0..1.
        colours: float ``[n, 3, h, w]``, the photos in 0..1, not normalised.
        labels: ``[n, C]``, 1 for each concept of a photo.
        terms: options.
    """
    shown = int(labels.sum(1).max()) if len(labels) else 0
    channels = labels.argsort(dim=1, descending=True, stable=True)[:, :shown]
    own = labels.gather(1, channels)
    channels = torch.cat((torch.zeros_like(channels[:, :1]), channels + 1), 1)
    channels = channels[:, :, None, None]
    few = masks.gather(1, channels.expand(-1, -1, *masks.shape[2:]))
    refined = refine(resized(colours, masks.shape[2:]), few, terms.dilations, terms.iterations)
    whole = labelled_masks(resized(refined, colours.shape[2:]), own)
    sure = pseudo_masks(whole, terms.background, terms.foreground, terms.floor)
    pseudo = sure.new_zeros(len(masks), masks.shape[1], *sure.shape[2:])
    return pseudo.scatter_(1, channels.expand(-1, -1, *sure.shape[2:]), sure)
