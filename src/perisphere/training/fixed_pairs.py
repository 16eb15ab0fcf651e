"""Pictures of a few photos, always the same, that show in TensorBoard what a network that segments sees."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from perisphere.catalog.images import decode
from perisphere.catalog.painting import overlay
from perisphere.encoder import Preprocessing
from perisphere.losses.sampled_features import sample_features
from perisphere.nets import SegmentationNet
from perisphere.training.concept_photos import ConceptData
from perisphere.training.keeping import History

PAIRS = 4
POINTS = 3
"""Points of each pair whose likeness is shown."""

WARM = 0.55
"""Share of the likeness in the picture that it is laid over."""


class FixedPairs(Callback):
    """Paints the masks of some photos, and how alike their partners' features are to those of some points.

    TensorBoard gets ``masks`` (each photo beside its masks) and ``similarity`` (each query with a point
    marked, beside its partner: the lighter, the more alike) every so many epochs and after the last.

    Args:
        history: its event file is written to.
        net: that learns; left in the modes that it has.
        preprocessing: to its input.
        data: its photos; those to validate with are shown, or those to learn from where there are none.
        layer: whose features are compared.
        align_corners: where points lie between features.
        every: epochs from one picture to the next.
    """

    def __init__(
        self,
        history: History,
        net: SegmentationNet,
        preprocessing: Preprocessing,
        data: ConceptData,
        *,
        layer: str = "decoder",
        align_corners: bool = True,
        every: int = 1,
    ) -> None:
        self.history, self.net, self.preprocessing, self.data = history, net, preprocessing, data
        self.layer, self.align_corners, self.every = layer, align_corners, every
        self.pairs = fixed_pairs(data)
        self._pictures: NDArray[np.uint8] | None = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the pictures, if it is time to."""
        epoch, writer = trainer.current_epoch + 1, self.history.writer
        if writer is None or (epoch % self.every and epoch != trainer.max_epochs):
            return
        for name, picture in self.painted().items():
            writer.add_image(name, picture, epoch, dataformats="HWC")

    @torch.no_grad()
    def painted(self) -> dict[str, NDArray[np.uint8]]:
        """Return the pictures, uint8 RGB ``[h, w, 3]``, by name."""
        modes = {module: module.training for module in self.net.modules()}
        self.net.eval()
        try:
            device = next(self.net.parameters()).device
            pictures = torch.from_numpy(self.pictures()).to(device)
            images = self.preprocessing.normalise(pictures)
            found = {}
            if self.net.spec.classes:
                found["masks"] = self._masks(images)
            if self.data.points.points.size and len(images) > 1:
                found["similarity"] = self._similarity(self.net.features(images, self.layer))
            return {name: picture for name, picture in found.items() if picture.size}
        finally:
            for module, mode in modes.items():
                module.training = mode

    def pictures(self) -> NDArray[np.uint8]:
        """Return the photos as the network sees them, uint8 RGB ``[2 * pairs, h, w, 3]``, queries first."""
        if self._pictures is None:
            paths = [_path(self.data, number) for number in self.pairs.T.ravel().tolist()]
            shown = [self.preprocessing(decode(path, at_least=self.preprocessing.at_least)) for path in paths]
            self._pictures = np.stack(shown)
        return self._pictures

    def _masks(self, images: Tensor) -> NDArray[np.uint8]:
        masks = self.net.masks_at(self.net.run(images), (images.shape[2], images.shape[3]))
        labels = masks.argmax(1).to(torch.uint8).cpu().numpy()
        classes = len(self.net.spec.classes)
        rows = [
            np.concatenate((picture, overlay(picture, label, classes)), 1)
            for picture, label in zip(self.pictures(), labels, strict=True)
        ]
        half = len(rows) // 2
        return np.concatenate((np.concatenate(rows[:half]), np.concatenate(rows[half:])), 1)

    def _similarity(self, features: Tensor) -> NDArray[np.uint8]:
        """Paint, for some points of each pair, how alike the partner's features are to the query's."""
        queries, partners = features.float().chunk(2)
        places, real = self.data.points.shared(self.pairs[:, 0], self.pairs[:, 1])
        rows = []
        for pair, (points, there) in enumerate(zip(places, real, strict=True)):
            known = points[there]
            for point in (
                known[np.linspace(0, len(known) - 1, POINTS).round().astype(int)] if len(known) else ()
            ):
                own = sample_features(
                    queries,
                    torch.tensor([pair], device=queries.device),
                    torch.from_numpy(point[None, :2]).to(queries.device),
                    self.align_corners,
                )
                alike = torch.cosine_similarity(own[0][:, None, None], partners[pair], dim=0)
                rows.append(self._row(pair, point, alike.cpu().numpy()))
        return np.concatenate(rows) if rows else np.zeros((0, 0, 3), np.uint8)

    def _row(self, pair: int, point: NDArray[np.float32], alike: NDArray[np.float32]) -> NDArray[np.uint8]:
        pictures = self.pictures()
        query, partner = pictures[pair].copy(), pictures[pair + len(self.pairs)]
        height, width = partner.shape[:2]
        heat = np.rint(255 * cv2.resize(alike, (width, height)).clip(0, 1)).astype(np.uint8)
        warm = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
        laid = np.rint(partner * (1 - WARM) + warm * WARM).astype(np.uint8)
        for picture, (row, column) in ((query, point[:2]), (laid, point[2:])):
            middle = (round(float(column) * (width - 1)), round(float(row) * (height - 1)))
            cv2.circle(picture, middle, max(2, width // 40), (255, 60, 60), 1)
        return np.concatenate((query, laid), 1)


def fixed_pairs(data: ConceptData, most: int = PAIRS) -> NDArray[np.int64]:
    """Choose photos over the whole set that share points, each with the one that it shares most with.

    Returns:
        int64 ``[n, 2]``, numbers of photos; where none share points, photos beside the ones after them.
    """
    shown = data.val if data.val is not None else data.train
    near = data.val_neighbours if data.val is not None else data.neighbours
    able = np.flatnonzero(np.diff(near.indptr)) if len(near) == len(shown) else np.zeros(0, np.int64)
    if not len(able):
        queries = _spread(np.arange(len(shown)), most)
        return shown.targets[np.stack((queries, (queries + 1) % len(shown)), 1)]
    queries = _spread(able, most)
    best = [near.of(row)[near.counts[near.indptr[row] : near.indptr[row + 1]].argmax()] for row in queries]
    return shown.targets[np.stack((queries, np.array(best)), 1)]


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))]


def _path(data: ConceptData, number: int) -> Path:
    paths: Sequence[Path] = data.train.paths
    if number < len(data.train):
        return paths[number]
    assert data.val is not None
    return data.val.paths[number - len(data.train)]
