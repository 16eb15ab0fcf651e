"""The network that training starts from: fresh, an encoder's, or a published checkpoint's."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from perisphere.encoder import Encoder
from perisphere.errors import PerisphereError
from perisphere.foreign.keras import is_hdf5
from perisphere.nets import EmbeddingNet, SegmentationNet, TransformersNet, build, build_segmentation
from perisphere.nets.keras_weights import read_keras_tensors
from perisphere.nets.pickled import read_checkpoint
from perisphere.nets.weights import load_into
from perisphere.training.loader import derive
from perisphere.training.recipe import Recipe

LearningNet: TypeAlias = EmbeddingNet | SegmentationNet


def starting_net(recipe: Recipe, tell: Callable[[str], None], classes: Sequence[str] = ()) -> LearningNet:
    """Build the recipe's network and load its weights, if it names any.

    Args:
        recipe: ``net``, ``seed`` and ``weights``, and how a network that segments is made.
        tell: takes a note on what did not match.
        classes: of a network that segments.

    Raises:
        PerisphereError: the weights are not there, or none of them fits.
    """
    seed = derive(recipe.seed, 0)
    net: LearningNet
    if recipe.method == "segmentation":
        net = build_segmentation(recipe.segmentation.spec(recipe.net.backbone, classes), seed)
    else:
        net = build(recipe.net, seed)
    load_start(recipe, net, tell)
    return net


def load_start(recipe: Recipe, net: LearningNet, tell: Callable[[str], None]) -> None:
    """Load the recipe's weights, if it names any, into a network of its backbone.

    What the weights lack, as a decoder or a projection, stays as it is.

    Args:
        recipe: ``weights``.
        net: changed in place.
        tell: takes a note on what did not match.

    Raises:
        PerisphereError: the weights are not there, or none of them fits.
    """
    if recipe.weights is None:
        return
    if not recipe.weights.exists():
        raise PerisphereError(
            f"{recipe.weights}: there are no such weights. Name an Encoder folder or a checkpoint file with "
            "weights=PATH, or start from fresh weights with weights=null."
        )
    if recipe.weights.is_dir():
        tensors = _learnable(recipe.weights)
    elif is_hdf5(recipe.weights):
        tensors = read_keras_tensors(recipe.weights, net.spec.backbone).tensors
    else:
        tensors = read_checkpoint(recipe.weights)
    report = load_into(net, tensors)
    if report.unfit:
        raise PerisphereError(
            f"{recipe.weights}: is not of {net.spec.backbone}: {len(report.unfit)} tensors do not fit, "
            f"e.g. {report.unfit[0]}. Set net.backbone to the architecture it was trained with."
        )
    if report.missing or report.shape_differs:
        tell(
            f"{recipe.weights}: {len(report.matched)} tensors taken; fresh weights for {len(report.missing)} "
            f"missing and {len(report.shape_differs)} of another shape."
        )


def _learnable(folder: Path) -> dict[str, Tensor]:
    """Return the weights of an Encoder whose network learns here."""
    net = Encoder.load(folder).net
    if isinstance(net, TransformersNet):
        raise PerisphereError(
            f"{folder}: holds a network of the transformers library ({net.spec.family}), which embeds and "
            "does not learn here. Begin with one of `perisphere weights list`, or leave weights out."
        )
    return dict(net.state_dict())
