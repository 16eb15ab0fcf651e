"""Retrieval judged while a network learns, on photos that it does not learn from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from perisphere.errors import PerisphereError
from perisphere.metrics.centroid_gallery import centroid_reid, without_distractors
from perisphere.metrics.concepts import as_bits, vocabulary
from perisphere.metrics.hashing_figures import hashing_figures
from perisphere.metrics.reid import reid
from perisphere.metrics.scoring import FloatScores
from perisphere.sphere import normalise
from perisphere.training.devices import Place
from perisphere.training.judged_photos import Judged
from perisphere.training.loader import Loader
from perisphere.training.photos import Photos
from perisphere.training.recipe import Judge, Recipe
from perisphere.training.start import LearningNet

MEAN_AP = "val/mAP"
"""Name of the figure that the best epoch is chosen by."""

RANKS = (1, 5, 10)
"""Where the CMC curve is logged."""


class RetrievalJudge(Callback):
    """Embeds queries and gallery every few epochs and after the last one, and logs mAP, mINP and CMC.

    Each device embeds its share of the photos, and the first one ranks them. The network computes in full
    precision, as the encoder will.

    Args:
        net: the network that learns; left in the modes and at the beginning that it has.
        loader: of this device's photos: every ``world``-th of the queries and gallery behind them.
        judged: all of them.
        rule: how they are judged.
    """

    def __init__(self, net: LearningNet, loader: Loader, judged: Judged, rule: Judge) -> None:
        self.net, self.loader, self.judged, self.rule = net, loader, judged, rule
        self._logged: list[str] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Withdraw the figures of an earlier epoch."""
        for name in self._logged:
            trainer.callback_metrics.pop(name, None)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge, if it is time to, and leave the figures where the keepers of the epoch look."""
        epoch = trainer.current_epoch + 1
        if epoch % self.rule.every and epoch != trainer.max_epochs:
            return
        vectors = self._vectors(pl_module)
        if not np.isfinite(vectors).all():
            raise PerisphereError(
                f"epoch {epoch}: the network gives embeddings that are not finite: it learned too fast. "
                "Begin another run with a lower optimizer.lr, or with clip_gradient."
            )
        found = self.figures(vectors) if trainer.is_global_zero else None
        figures: dict[str, float] = trainer.strategy.broadcast(found)
        self._logged = list(figures)
        trainer.callback_metrics.update(
            {name: torch.tensor(value, dtype=torch.float64) for name, value in figures.items()}
        )

    def figures(self, vectors: np.ndarray) -> dict[str, float]:
        """Return mAP, mINP and rank-k, as logged, of embeddings float32 ``[n, d]``, queries first.

        By concepts it is mAP alone: MAP@R as published.
        """
        queries, gallery, rule = self.judged.queries, self.judged.gallery, self.rule
        if rule.protocol == "concepts":
            return {MEAN_AP: concept_map(vectors, queries.concepts, gallery.concepts, rule.at)}
        cameras = (queries.cameras, gallery.cameras) if rule.cameras else (None, None)
        centroids = rule.protocol == "centroids"
        known = without_distractors(queries.labels, gallery.labels) if centroids else gallery.labels
        means = (centroid_reid if centroids else reid)(
            vectors[: len(queries)],
            vectors[len(queries) :],
            query_ids=queries.labels,
            gallery_ids=known,
            query_cameras=cameras[0],
            gallery_cameras=cameras[1],
        ).means(RANKS)
        return {f"val/{name}": value for name, value in means.items()}

    def _vectors(self, module: LightningModule) -> np.ndarray:
        """Return the embeddings of all photos, gathered from all devices."""
        world, total = module.trainer.world_size, len(self.judged.queries) + len(self.judged.gallery)
        if world > 1:  # the batch norms of each device saw other photos; the first one's are kept
            for buffer in self.net.buffers():
                torch.distributed.broadcast(buffer, 0)
        own = embedded(self.net, self.loader)
        if world == 1:
            return own.cpu().numpy()
        whole = own.new_zeros(-(-total // world), own.shape[1])
        whole[: len(own)] = own
        gathered = module.all_gather(whole)
        assert isinstance(gathered, Tensor)
        return gathered.transpose(0, 1).flatten(0, 1)[:total].cpu().numpy()


def concept_map(
    vectors: np.ndarray, asked: Sequence[Sequence[str]], shown: Sequence[Sequence[str]], at: int
) -> float:
    """Return MAP@R by cosine; see :mod:`perisphere.metrics.hashing`.

    Args:
        vectors: float32 ``[n, d]``, not normalised, queries first.
        asked: concepts of the queries.
        shown: concepts of the gallery.
        at: R.
    """
    unit, names = normalise(vectors), vocabulary(asked, shown)
    scores = FloatScores(unit[: len(asked)], unit[len(asked) :])
    found = hashing_figures(scores, as_bits(asked, names), as_bits(shown, names), depths=(at,))
    return found.mean_average_precision(at)


def embedded(net: LearningNet, loader: Loader) -> Tensor:
    """Return the embeddings of a loader's photos, not normalised: float32 ``[n, d]``, where ``net`` is.

    The network is run in evaluation mode from the images on, and left as it was.
    """
    modes, start = {module: module.training for module in net.modules()}, net.start
    device = next(net.parameters()).device
    net.eval()
    net.start = 0
    try:
        with torch.no_grad():
            pictures = loader.pictures(np.arange(len(loader.photos)))
            return torch.cat([net(loader.preprocessing.normalise(some.to(device))) for some in pictures])
    finally:
        net.start = start
        for module, mode in modes.items():
            module.training = mode


def retrieval_judge(recipe: Recipe, net: LearningNet, judged: Judged, place: Place) -> RetrievalJudge:
    """Return the judge that a recipe asks for, with this device's share of the photos."""
    assert recipe.judge is not None
    paths: Sequence[Path] = [*judged.queries.paths, *judged.gallery.paths][place.rank :: place.world]
    order: dict[str, Any] = {"batch_size": recipe.batch_size, "seed": 0, "shuffle": False}
    photos = Photos(paths, np.zeros(len(paths), np.int64))
    loader = Loader(photos, recipe.input, cache_mb=recipe.cache_mb, workers=recipe.workers, **order)
    return RetrievalJudge(net, loader, judged, recipe.judge)
