"""The architectures by name: how to make each, and the input that it expects."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from perisphere.nets.backbone import Backbone
from perisphere.nets.cifar_resnet import CifarResNet
from perisphere.nets.pixels import Pixels
from perisphere.nets.plain import PlainNet
from perisphere.nets.resnet import ResNet
from perisphere.nets.small import SmallNet
from perisphere.nets.squeezenet import SqueezeNet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class InputSpec:
    """The preprocessing that an architecture's weights were trained with.

    A pixel ``v`` of 0 to 255 enters the network as ``(v * scale - mean) / std``, channels in the order of
    ``channels``, after the image was resized to ``size`` (height, width).
    """

    size: tuple[int, int]
    resize: Literal["squash", "crop", "pad"] = "squash"
    interpolation: Literal["bilinear", "area", "bicubic"] = "bilinear"
    channels: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


@dataclass(frozen=True)
class Architecture:
    """A backbone by name.

    Attributes:
        make: builds the backbone; ``pixels`` takes ``input_size``.
        input: the input its published weights expect.
        classifier: the name of the classification layer in its published weights, which an encoder drops.
        strided: whether ``make`` takes ``last_stride``.
        flat: whether the feature map is a single position, with nothing left to pool.
    """

    make: Callable[..., Backbone]
    input: InputSpec
    classifier: str | None = None
    strided: bool = False
    flat: bool = False


def _resnet(
    block: Literal["basic", "bottleneck"], blocks: tuple[int, ...], *, ibn: bool = False
) -> Architecture:
    make = partial(ResNet, block=block, blocks=blocks, ibn=ibn)
    return Architecture(make, InputSpec((224, 224), resize="crop"), "fc", strided=True)


# Of CIFAR-100's training photos, as published with the networks for hierarchy-based embeddings.
CIFAR100 = InputSpec(
    (32, 32),
    scale=1.0,
    mean=(129.30386353, 124.06987, 112.43356323),
    std=(68.17019653, 65.39176178, 70.4180603),
)


ARCHITECTURES: dict[str, Architecture] = {
    "resnet18": _resnet("basic", (2, 2, 2, 2)),
    "resnet34": _resnet("basic", (3, 4, 6, 3)),
    "resnet50": _resnet("bottleneck", (3, 4, 6, 3)),
    "resnet101": _resnet("bottleneck", (3, 4, 23, 3)),
    "resnet152": _resnet("bottleneck", (3, 8, 36, 3)),
    "resnet200": _resnet("bottleneck", (3, 24, 36, 3)),
    "resnet50_ibn_a": _resnet("bottleneck", (3, 4, 6, 3), ibn=True),
    "squeezenet1_0": Architecture(
        SqueezeNet,
        InputSpec((227, 227), channels="BGR", scale=1.0, mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0)),
        "conv10",
    ),
    "cifar_resnet20": Architecture(partial(CifarResNet, blocks=3), InputSpec((32, 32)), "linear"),
    "cifar_resnet56": Architecture(partial(CifarResNet, blocks=9), InputSpec((32, 32)), "linear"),
    "small": Architecture(partial(SmallNet, stem_stride=4, widths=(32, 48, 96, 192)), InputSpec((128, 128))),
    "small32": Architecture(partial(SmallNet, stem_stride=1, widths=(16, 32, 96, 192)), InputSpec((32, 32))),
    "pixels": Architecture(
        Pixels,
        InputSpec((32, 32), interpolation="area", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        flat=True,
    ),
    "plain11": Architecture(PlainNet, CIFAR100, flat=True),
    "plain11-selu": Architecture(partial(PlainNet, nonlinearity="selu"), CIFAR100, flat=True),
}


def architectures() -> list[str]:
    """Return the names that :class:`~perisphere.nets.NetSpec` takes as ``backbone``."""
    return list(ARCHITECTURES)


def input_spec(name: str) -> InputSpec:
    """Return the input that the architecture ``name`` expects.

    Raises:
        KeyError: there is no such architecture.
    """
    return ARCHITECTURES[name].input
