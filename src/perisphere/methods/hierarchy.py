"""Method ``hierarchy``: the class points on the sphere are given, and the network learns to reach them.

Source: Barz and Denzler, "Hierarchy-based image embeddings for semantic image retrieval", WACV 2019; with
one-hot points the same, "Deep learning on small datasets without pre-training using cosine loss", WACV 2020;
with DeViSE's loss Frome et al., "DeViSE: a deep visual-semantic embedding model", NIPS 2013.
"""

from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from perisphere.losses import devise, inv_corr, squared_distance, unnorm_corr
from perisphere.methods.supervised import Supervised, accuracy
from perisphere.nets import EmbeddingNet

PointLoss = Literal["inv_corr", "unnorm_corr", "mse", "softmax_corr", "devise"]
ClassBase = Literal["embedding", "pooled"]
TIE = 1e-6
"""Class points whose scores differ by no more than this are as near as each other."""


class Hierarchy(Supervised):
    """The network's output is drawn to the point of its class; a photo's class is the nearest class point.

    ``accuracy`` is that of the nearest class point: the smallest distance for ``mse``, the largest dot
    product for all others. With a classifier it logs its ``class_loss`` and ``class_accuracy`` too.

    Args:
        net: images to ``[n, d]``; for ``softmax_corr`` it ends in a softmax.
        points: float ``[classes, d]``, the class points; unit rows but for ``mse``.
        loss: ``inv_corr`` is 1 - cosine; ``unnorm_corr`` and ``softmax_corr`` 1 - dot product; ``mse`` the
            squared distance; ``devise`` the ranking loss.
        margin: of ``devise``.
        classifier: vectors to logits ``[n, classes]``.
        class_weight: weight of the classifier's cross-entropy beside the loss.
        class_base: what the classifier looks at: ``embedding`` is what the loss looks at (unit rows for
            ``inv_corr``), ``pooled`` the vectors before the projection.
        prepared: ``prepare`` and ``optimise`` of :class:`~perisphere.methods.supervised.Supervised`.
    """

    points: Tensor

    def __init__(
        self,
        net: EmbeddingNet,
        points: Tensor,
        *,
        loss: PointLoss = "inv_corr",
        margin: float = 0.1,
        classifier: nn.Module | None = None,
        class_weight: float = 0.0,
        class_base: ClassBase = "embedding",
        **prepared: Any,
    ) -> None:
        super().__init__(net, **prepared)
        self.register_buffer("points", points.float(), persistent=False)
        self.loss, self.margin = loss, margin
        self.classifier, self.class_weight, self.class_base = classifier, class_weight, class_base
        if classifier is not None:
            self.figures = (*self.figures, "class_loss", "class_accuracy")

    def logits(self, images: Tensor) -> Tensor | None:
        """See :meth:`Supervised.logits`."""
        return self._classified(*self._vectors(images))

    def judge(self, images: Tensor, targets: Tensor, training: bool) -> dict[str, Tensor]:
        """See :meth:`Supervised.judge`."""
        pooled, vectors = self._vectors(images)
        loss = self._distance(vectors, targets)
        figures = {"loss": loss, "accuracy": accuracy(self._scores(vectors.detach()), targets, TIE)}
        logits = self._classified(pooled, vectors)
        if logits is None:
            return figures
        class_loss = functional.cross_entropy(logits, targets)
        figures["loss"] = loss + self.class_weight * class_loss
        return figures | {"class_loss": class_loss, "class_accuracy": accuracy(logits, targets)}

    def _vectors(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors before the projection, and those that the loss looks at."""
        pooled = self.net.pooled(images)
        vectors = self.net.projected(pooled)
        return pooled, functional.normalize(vectors, dim=1) if self.loss == "inv_corr" else vectors

    def _classified(self, pooled: Tensor, vectors: Tensor) -> Tensor | None:
        if self.classifier is None:
            return None
        return self.classifier(vectors if self.class_base == "embedding" else pooled)

    def _distance(self, vectors: Tensor, targets: Tensor) -> Tensor:
        if self.loss == "devise":
            return devise(vectors, self.points, targets, margin=self.margin)
        loss = {"inv_corr": inv_corr, "mse": squared_distance}.get(self.loss, unnorm_corr)
        return loss(vectors, self.points[targets])

    def _scores(self, vectors: Tensor) -> Tensor:
        """Return float ``[n, classes]``, the largest for the nearest class point."""
        products = vectors @ self.points.T
        if self.loss != "mse":
            return products
        # The negative squared distance without |v|², in which long vectors would drown all differences.
        return 2 * products - (self.points**2).sum(1)
