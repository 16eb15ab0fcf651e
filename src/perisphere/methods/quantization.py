"""Method ``quantization``: photos are drawn to the vectors of their tags, and coded in the tags' metric.

Source: Wang et al., "Weakly supervised deep hyperspherical quantization for image retrieval" (WSDHQ), AAAI
2021; with ``loss: wdht`` the embedding of Gattupalli et al., CVPR 2019.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from perisphere.losses import adaptive_margin, quantization, tag_alignment, tag_margins
from perisphere.losses.adaptive_margin import Negatives
from perisphere.methods.learned_codes import LearnedCodes
from perisphere.methods.supervised import Supervised
from perisphere.methods.tag_targets import TagTargets
from perisphere.nets import EmbeddingNet

TagLoss = Literal["adaptive", "fixed", "wdht"]
ERROR = "train/quantization_error"


@dataclass(frozen=True)
class QuantizationTerms:
    """Losses and their schedule.

    Attributes:
        loss: ``adaptive``: the margin between two tags grows with their angle; ``fixed``: one margin;
            ``wdht``: the mean of the tags against that of other photos.
        gamma: of the adaptive margin.
        margin: of the two others.
        negatives: which absent tags count, but for ``wdht``.
        weight: of the quantization loss.
        start: epochs before the codebooks are initialised.
        every: epochs from one update to the next.
    """

    loss: TagLoss = "adaptive"
    gamma: float = 1.0
    margin: float = 0.7
    negatives: Negatives = "all"
    weight: float = 1e-4
    start: int = 2
    every: int = 1

    def due(self, epoch: int) -> bool:
        """Whether codes and codebooks are updated at the end of an epoch, from 1."""
        return epoch >= self.start and (epoch - self.start) % self.every == 0


class Quantization(Supervised):
    """A margin loss over the tags of photos, with a quantization loss as soon as there are codebooks.

    Its targets are numbers of photos, whose tags the method knows. Validation is by the margin loss alone,
    which means the same in every epoch; training logs ``embedding_loss`` and ``quantization_loss`` (before it
    is weighted), and ``quantization_error`` at every update of the codebooks: the share of the squared
    inner products with tags that codes lose.

    Photos of a batch are gathered from all devices before anything is computed of them, so that it does not
    matter how many devices there are.

    Args:
        net: images to embeddings.
        targets: tag vectors, and the tags of all photos.
        codes: of those to learn from, which have the numbers from 0.
        terms: losses and their schedule.
        seed: of the codebooks.
        recompute: makes features float32 ``[n, d]`` of the photos to learn from with the network as it is;
            ``None`` takes those that training came by.
        prepared: ``prepare`` and ``optimise`` of :class:`~perisphere.methods.supervised.Supervised`.
    """

    figures = ("loss",)
    learned = ("embedding_loss", "quantization_loss")

    def __init__(
        self,
        net: EmbeddingNet,
        targets: TagTargets,
        codes: LearnedCodes,
        terms: QuantizationTerms,
        *,
        seed: int = 0,
        recompute: Callable[[], Tensor] | None = None,
        **prepared: Any,
    ) -> None:
        super().__init__(net, **prepared)
        self.targets, self.codes, self.terms = targets, codes, terms
        self.seed, self.recompute = seed, recompute
        self.margins: Tensor | float = terms.margin

    def on_fit_start(self) -> None:
        """Bring tags and codes to the device."""
        self.targets = self.targets.to(self.device)
        self.codes.to(self.device)
        if self.terms.loss == "adaptive":
            self.margins = tag_margins(self.targets.vectors, self.terms.gamma)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the codes and codebooks."""
        checkpoint["learned_codes"] = self.codes.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the codes and codebooks of the run that is resumed."""
        self.codes.take(checkpoint["learned_codes"])

    def on_train_epoch_start(self) -> None:
        """Withdraw the error of an earlier epoch."""
        self.trainer.callback_metrics.pop(ERROR, None)

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Return the loss of the photos of all devices."""
        vectors, photos = self._gathered(*batch)
        figures = self.learn(vectors, photos)
        self._count("train", figures, len(photos))
        return figures["loss"]

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Add up the loss of the photos of all devices; rows that only fill the batch up are left out."""
        vectors, photos = self._gathered(*batch)
        known = photos >= 0
        figures = {"loss": self.embedding_loss(vectors[known], photos[known])}
        self._count("val", figures, int(known.sum()))

    def on_train_epoch_end(self) -> None:
        """Update codes and codebooks if it is time to, and log the epoch."""
        super().on_train_epoch_end()
        epoch = self.current_epoch + 1
        error = self._updated(epoch) if self.terms.due(epoch) else None
        if error is not None:
            self.log(ERROR, error, logger=False)

    def judge(self, images: Tensor, targets: Tensor, training: bool) -> dict[str, Tensor]:
        """See :meth:`Supervised.judge`; of the photos of one device."""
        vectors = self.net(images)
        return self.learn(vectors, targets) if training else {"loss": self.embedding_loss(vectors, targets)}

    def learn(self, vectors: Tensor, photos: Tensor) -> dict[str, Tensor]:
        """Return the figures of training, and keep the features.

        Args:
            vectors: float ``[b, d]``, not normalised.
            photos: int64 ``[b]``, their numbers.
        """
        features = functional.normalize(vectors.float(), dim=1) if self.codes.plan.unit else vectors.float()
        self.codes.keep(photos, features)
        apart = self._quantization_loss(features, photos)
        embedding = self.embedding_loss(vectors, photos)
        return {
            "loss": embedding + self.terms.weight * apart,
            "embedding_loss": embedding,
            "quantization_loss": apart,
        }

    def embedding_loss(self, vectors: Tensor, photos: Tensor) -> Tensor:
        """Return the margin loss of vectors float ``[b, d]`` of photos int64 ``[b]``."""
        terms, tags, pairs = self.terms, self.targets.vectors, self.targets.pairs(photos)
        if terms.loss == "wdht":
            return tag_alignment(vectors, tags, pairs, terms.margin)
        return adaptive_margin(vectors, tags, pairs, self.margins, negatives=terms.negatives)

    def _quantization_loss(self, features: Tensor, photos: Tensor) -> Tensor:
        """Return the mean over the photos that have a code; 0 before there are any."""
        if self.codes.words is None:
            return features.new_zeros(())
        coded = self.codes.coded[photos]
        return quantization(features[coded], self.codes.decoded(photos[coded]), self.codes.root)

    def _gathered(self, images: Tensor, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings and numbers of the photos of all devices, in the order of the batch."""
        vectors = self.net(images)
        if self.trainer.world_size == 1:
            return vectors, photos
        both = self.all_gather(vectors, sync_grads=True), self.all_gather(photos)
        return both[0].flatten(0, 1), both[1].flatten()  # type: ignore[union-attr]

    def _updated(self, epoch: int) -> float | None:
        """Update codes and codebooks on the first device, for all; return the error."""
        codes = self.codes
        if self.recompute is not None:
            everything = torch.arange(len(codes.seen), device=self.device)
            found = self.recompute().to(self.device)
            codes.keep(everything, functional.normalize(found, dim=1) if codes.plan.unit else found)
        error = codes.update(self.seed + epoch) if self.trainer.is_global_zero else None
        if self.trainer.world_size == 1:
            return error
        learned = (
            None if error is None else {name: codes.state()[name] for name in ("codes", "coded", "words")}
        )
        error, learned = self.trainer.strategy.broadcast((error, learned))
        codes.take(learned or {})
        return error
