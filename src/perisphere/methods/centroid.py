"""Method ``centroid``: photos are drawn to the centroid of their identity, as a gallery of centroids asks.

Source: Wieczorek, Rychalska and Dabrowski, "On the unreasonable effectiveness of centroids in image
retrieval", ICONIP 2021, on top of Luo et al., "Bag of tricks and a strong baseline for deep person
re-identification", CVPRW 2019: the feature before the BNNeck goes to the triplet, centroid and center losses,
the one after it to the classifier, and is what searches compare.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from perisphere.losses import batch_hard, centroid_triplet, class_centers
from perisphere.losses.distances import Distance, full_precision
from perisphere.methods.supervised import Supervised, accuracy
from perisphere.nets import EmbeddingNet, LinearClassifier


@dataclass(frozen=True)
class CentroidTerms:
    """What the loss is the sum of.

    Attributes:
        triplet: weight of the batch-hard triplet loss; 0 leaves a term out, here and below.
        centroid: weight of the centroid triplet loss.
        center: weight of the center loss.
        classes: weight of the cross-entropy.
        margin: of both triplet losses; ``None`` is the soft one.
        distance: of both triplet losses.
        instances: photos of each identity in a batch.
        corrected: whether empty places are left out of everything. As published they pass through the
            network as zero images, whose features are positives and negatives of the triplet loss and part of
            the statistics of the backbone's batch norms.
    """

    triplet: float = 1.0
    centroid: float = 1.0
    center: float = 5e-4
    classes: float = 1.0
    margin: float | None = 0.5
    distance: Distance = "euclidean"
    instances: int = 4
    corrected: bool = False


class ClassCenters(nn.Module):
    """Centres that learn by plain gradient descent of their own, at a constant rate, on center loss alone.

    The weight of the center loss in the whole does not reach them, nor does what the optimiser, the schedule,
    loss scaling and clipping do to gradients.

    Args:
        dim: length of a feature.
        classes: number of classes.
        lr: learning rate. At 0.5 a centre goes as great a share of the way to the mean of its photos as they
            are of the batch.
    """

    centers: Tensor

    def __init__(self, dim: int, classes: int, lr: float = 0.5) -> None:
        super().__init__()
        self.lr = lr
        self.register_buffer("centers", torch.randn(classes, dim))

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the center loss of features ``[n, dim]``; its gradient reaches the features alone."""
        return class_centers(features, self.centers, targets)

    @torch.no_grad()
    def steps(self, features: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Return the descent of each photo's centre that the photo asks for, float ``[n, dim]``.

        Args:
            features: float ``[n, dim]``.
            targets: int64 ``[n]``.
            real: bool ``[n]``, those that are in the mean.
        """
        steps = (full_precision(features) - self.centers[targets]) * (2 * self.lr / real.sum())
        # A feature that overflowed in half precision must not stay in a centre for ever.
        return steps.where(real[:, None] & steps.isfinite(), 0)

    @torch.no_grad()
    def move(self, steps: Tensor, targets: Tensor) -> None:
        """Take the steps of all photos ``[n, dim]``, those of one centre together."""
        self.centers.index_add_(0, targets, steps.to(self.centers.dtype))


class Extra(NamedTuple):
    """A further loss on the features of real photos, with its weight.

    Attributes:
        name: under which it is logged.
        weight: of the loss.
        loss: module of float ``[n, dim]`` and int64 ``[n]``.
    """

    name: str
    weight: float
    loss: nn.Module


class CentroidHead(nn.Module):
    """What is thrown away after training: classifier, centres, and the weights of further losses.

    Args:
        dim: length of a feature.
        classes: number of classes.
        terms: which of them there are.
        center_lr: of the centres.
        extra: further losses.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        terms: CentroidTerms,
        *,
        center_lr: float = 0.5,
        extra: Sequence[Extra] = (),
    ) -> None:
        super().__init__()
        self.classifier = None
        if terms.classes:
            self.classifier = LinearClassifier(dim, classes, bias=False)
            nn.init.normal_(self.classifier.weight, std=0.001)
        self.centers = ClassCenters(dim, classes, center_lr) if terms.center else None
        self.extra = nn.ModuleList(each.loss for each in extra)


class Centroid(Supervised):
    """Batch-hard triplet, centroid triplet and center loss on features, cross-entropy behind the BNNeck.

    Besides ``loss`` and ``accuracy`` it logs in training each term that has a weight (``triplet_loss``,
    ``centroid_loss``, ``center_loss``, ``class_loss`` and further ones under their names), before it is
    weighted; with the centroid triplet loss also ``positive_distance``, ``negative_distance`` and
    ``centroid_norm`` (see :class:`~perisphere.losses.CentroidTriplet`). Validation is by the classifier.

    A batch for training also has ``real``, bool ``[n]``, false where a place has no photo of its own; the
    places of an identity lie one after another.

    Args:
        net: images to embeddings, with a BNNeck.
        head: classifier, centres and further losses.
        terms: weights and options.
        extra: further losses; their modules are in ``head``.
        label_smoothing: share of the target spread evenly over all classes; validation goes without.
        prepared: ``prepare`` and ``optimise`` of :class:`~perisphere.methods.supervised.Supervised`.
    """

    def __init__(
        self,
        net: EmbeddingNet,
        head: CentroidHead,
        terms: CentroidTerms,
        *,
        extra: Sequence[Extra] = (),
        label_smoothing: float = 0.0,
        **prepared: Any,
    ) -> None:
        super().__init__(net, **prepared)
        assert net.bnneck is not None  # a recipe without is refused
        self.bnneck = net.bnneck
        self.head, self.terms, self.label_smoothing = head, terms, label_smoothing
        self.extra = [(each.name, each.weight) for each in extra]
        if head.classifier is None:
            self.figures = ("loss",)
            self.bnneck.weight.requires_grad_(False)  # nothing is behind it that could teach it
        self.learned = self._learned()

    def _learned(self) -> tuple[str, ...]:
        terms = self.terms
        weights = {
            "class_loss": terms.classes,
            "triplet_loss": terms.triplet,
            "centroid_loss": terms.centroid,
            "center_loss": terms.center,
        }
        names = [name for name, weight in weights.items() if weight]
        watched = ["positive_distance", "negative_distance", "centroid_norm"] if terms.centroid else []
        return (*names, *watched, *(name for name, _ in self.extra))

    def logits(self, images: Tensor) -> Tensor | None:
        """See :meth:`Supervised.logits`."""
        return None if self.head.classifier is None else self.head.classifier(self.net(images))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, ...]:
        """Prepare on the device; images of empty places are zero, after everything else was done to them."""
        images, targets = super().on_after_batch_transfer(batch, dataloader_idx)
        if not self.trainer.training:
            return images, targets
        real = batch.real
        return images.where(real.view(-1, *[1] * (images.ndim - 1)), 0), targets, real

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Return the loss of the batch, and let the centres learn from it."""
        images, targets, real = batch
        features = self.features(images, real)
        figures = self.learn(features, targets, real)
        if self.head.centers is not None:
            steps = self.head.centers.steps(features, targets, real) / self.trainer.world_size
            steps, targets = self.all_gather((steps, targets))
            self.head.centers.move(steps.flatten(0, -2), targets.flatten())
        self._count("train", figures, int(real.sum()))
        return figures["loss"]

    def features(self, images: Tensor, real: Tensor) -> Tensor:
        """Return what the network makes of images before the BNNeck, float ``[n, dim]``.

        Args:
            images: float32 ``[n, 3, h, w]``.
            real: bool ``[n]``; with ``corrected`` the others are zero and never enter the network.
        """
        if not self.terms.corrected:
            return self._before_neck(images)
        seen = self._before_neck(images[real])
        return seen.new_zeros(len(images), seen.shape[1]).masked_scatter(real[:, None], seen)

    def learn(self, features: Tensor, targets: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Return ``loss`` and the figures of training, of features float ``[n, dim]`` before the BNNeck."""
        seen, known = features[real], targets[real]
        embeddings = self.bnneck(seen)  # even without a classifier: its statistics are the encoder's
        loss, figures = features.new_zeros((), dtype=torch.float32), {}

        def add(name: str, weight: float, value: Tensor) -> None:
            nonlocal loss
            loss, figures[name] = loss + weight * value, value

        terms, head = self.terms, self.head
        if head.classifier is not None:
            logits = head.classifier(embeddings)
            add("class_loss", terms.classes, self._cross_entropy(logits, known))
            figures["accuracy"] = accuracy(logits, known)
        if terms.triplet:
            add("triplet_loss", terms.triplet, self._triplet(features, targets, real))
        if terms.centroid:
            found = centroid_triplet(
                features, targets, real, terms.instances, margin=terms.margin, distance=terms.distance
            )
            add("centroid_loss", terms.centroid, found.loss)
            figures["positive_distance"], figures["negative_distance"] = found.positive, found.negative
            figures["centroid_norm"] = found.norm
        if head.centers is not None:
            add("center_loss", terms.center, head.centers(seen, known))
        for (name, weight), further in zip(self.extra, head.extra, strict=True):
            add(name, weight, further(seen, known))
        return {"loss": loss, **figures}

    def judge(self, images: Tensor, targets: Tensor, training: bool) -> dict[str, Tensor]:
        """See :meth:`Supervised.judge`; of validation alone."""
        logits = self.logits(images)
        assert logits is not None  # a recipe that validates without a classifier is refused
        return {"loss": functional.cross_entropy(logits, targets), "accuracy": accuracy(logits, targets)}

    def _before_neck(self, images: Tensor) -> Tensor:
        pooled = self.net.pooled(images)
        return pooled if self.net.projection is None else self.net.projection(pooled)

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)

    def _triplet(self, features: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        terms = self.terms
        present = real if terms.corrected else None
        return batch_hard(
            features, targets, margin=terms.margin, distance=terms.distance, anchors=real, present=present
        ).loss
