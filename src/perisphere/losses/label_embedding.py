"""Label embedding: a network learns, beside the classes, how alike the classes are.

Source: Sun et al., "Label embedding network: learning label representation for soft training of deep
networks", 2017 (arXiv:1710.10393), section 3; defaults tau 2, alpha 0.9, beta 0.5.
"""

from torch import Tensor
from torch.nn import functional


def label_embedding(
    logits: Tensor,
    side_logits: Tensor,
    labels: Tensor,
    targets: Tensor,
    *,
    tau: float = 2.0,
    alpha: float = 0.9,
    beta: float = 0.5,
) -> Tensor:
    """Return the mean over images of the five terms of the label embedding network.

    1. ``beta`` times the cross-entropy of ``logits`` with the class;
    2. ``1 - beta`` times the cross-entropy of ``logits`` with the class's label embedding, as it stands;
    3. the cross-entropy of ``side_logits`` with the class;
    4. the cross-entropy of the label embedding with the softened side output, over the images that the side
       output gets right (this term alone moves the label embeddings);
    5. by how much the side output is surer of the class than ``alpha``.

    Args:
        logits: float ``[n, classes]``, what classifies.
        side_logits: float ``[n, classes]``, a second output whose gradient must not reach the network.
        labels: float ``[classes, classes]``, the label embeddings as logits, a row a class.
        targets: int64 ``[n]``.
        tau: temperature that softens the side output.
        alpha: the confidence of the side output above which it is held back.
        beta: weight of the hard labels against the label embeddings.
    """
    own = labels[targets]
    hard = functional.cross_entropy(logits, targets)
    soft = functional.cross_entropy(logits, own.detach().softmax(1))
    side = functional.cross_entropy(side_logits, targets)
    softened = (side_logits.detach() / tau).softmax(1)
    right = (side_logits.argmax(1) == targets).to(logits.dtype)
    taught = (functional.cross_entropy(own, softened, reduction="none") * right).sum() / (right.sum() + 1e-8)
    sure = side_logits.softmax(1).gather(1, targets[:, None]).squeeze(1)
    return beta * hard + (1 - beta) * soft + side + taught + (sure - alpha).clamp(min=0).mean()
