"""The architectures by name: how to make each, and the input that it expects."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from perisphere.nets.alexnet import SIDE, AlexNet
from perisphere.nets.backbone import Backbone
from perisphere.nets.cifar_resnet import CifarResNet
from perisphere.nets.densenet import DenseNet
from perisphere.nets.mobilenet import MobileNetV2
from perisphere.nets.nasnet import NasNet
from perisphere.nets.pixels import Pixels
from perisphere.nets.plain import PlainNet
from perisphere.nets.pooled_resnet import PooledResNet
from perisphere.nets.pyramidnet import PyramidNet
from perisphere.nets.resnet import ResNet
from perisphere.nets.small import SmallNet
from perisphere.nets.squeezenet import SqueezeNet
from perisphere.nets.wide_resnet import WideResNet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class InputSpec:
    """The preprocessing that an architecture's weights were trained with.

    A pixel ``v`` of 0 to 255 enters the network as ``(v * scale - mean) / std``, channels in the order of
    ``channels``, after the image was resized to ``size`` (height, width), or to ``shorter`` before ``size``
    was cut out of its middle.
    """

    size: tuple[int, int]
    shorter: int | None = None
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
        strided: whether ``make`` takes ``last_stride`` and ``stem_relu``.
        flat: whether the feature map is a single position, with nothing left to pool.
        like: the architecture whose weights have the same names and shapes, where this one computes
            something else with them, or is another name for it.
        shallow: the last stage whose map has a quarter of the picture's sides, for segmentation.
        output_strides: pixels a position of the last map that ``make`` takes as ``output_stride``, with
            ``dilated``; empty where a network cannot segment.
    """

    make: Callable[..., Backbone]
    input: InputSpec
    classifier: str | None = None
    strided: bool = False
    flat: bool = False
    like: str | None = None
    shallow: str | None = None
    output_strides: tuple[int, ...] = ()


# What every ResNet for photos can do.
_RESNET: dict[str, Any] = {"strided": True, "shallow": "layer1", "output_strides": (8, 16, 32)}


def _resnet(
    block: Literal["basic", "bottleneck"], blocks: tuple[int, ...], *, ibn: bool = False
) -> Architecture:
    make = partial(ResNet, block=block, blocks=blocks, ibn=ibn)
    return Architecture(make, InputSpec((224, 224), resize="crop"), "fc", **_RESNET)


def _first_resnet(like: str, blocks: tuple[int, ...], eps: float, *, padded: bool = True) -> Architecture:
    """Return a ResNet as first published, and as Keras has it: the stride in a block's first convolution."""
    make = partial(ResNet, "bottleneck", blocks, early_stride=True, padded_pool=padded, eps=eps)
    return Architecture(make, InputSpec((224, 224), resize="crop"), "prob", like=like, **_RESNET)


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
    "resnet101_ibn_a": _resnet("bottleneck", (3, 4, 23, 3), ibn=True),
    "resnet50_v1": _first_resnet("resnet50", (3, 4, 6, 3), 1e-3),
    # Keras's before 2.2.3, whose first pooling stays on the map.
    "resnet50_v1_unpadded": _first_resnet("resnet50", (3, 4, 6, 3), 1e-3, padded=False),
    "resnet101_v1": _first_resnet("resnet101", (3, 4, 23, 3), 1.001e-5),
    "resnet152_v1": _first_resnet("resnet152", (3, 8, 36, 3), 1.001e-5),
    "alexnet": Architecture(
        AlexNet,
        InputSpec(
            (SIDE, SIDE),
            shorter=256,
            channels="BGR",
            scale=1.0,
            mean=(103.939, 116.779, 123.68),
            std=(1.0, 1.0, 1.0),
        ),
        "fc8",
        flat=True,
    ),
    "squeezenet1_0": Architecture(
        SqueezeNet,
        InputSpec((227, 227), channels="BGR", scale=1.0, mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0)),
        "conv10",
        shallow="fire3",
        output_strides=(8, 16),
    ),
    "mobilenet_v2": Architecture(
        MobileNetV2,
        InputSpec((224, 224), resize="crop"),
        "classifier.1",
        shallow="stage2",
        output_strides=(8, 16, 32),
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
}


def _register(name: str, make: Callable[..., Backbone], input: InputSpec, *, flat: bool = False) -> None:
    """Register a network with ReLU under its name, and with SELU under ``NAME-selu``."""
    ARCHITECTURES[name] = Architecture(make, input, "prob", flat=flat)
    selu = partial(make, nonlinearity="selu")
    ARCHITECTURES[f"{name}-selu"] = Architecture(selu, input, "prob", flat=flat, like=name)


_register("plain11", PlainNet, CIFAR100, flat=True)
for _name, _blocks, _widths in (
    ("resnet-32", 5, (16, 32, 64)),
    ("resnet-32-wfc", 5, (32, 64, 128)),
    ("resnet-110", 18, (16, 32, 64)),
    ("resnet-110-wfc", 18, (32, 64, 128)),
):
    _register(_name, partial(PooledResNet, _blocks, _widths), CIFAR100)
_register("wrn-28-10", partial(WideResNet, 4, 10), CIFAR100)
_register("pyramidnet-272-200", partial(PyramidNet, 30, 200, True), CIFAR100)
_register("pyramidnet-110-270", partial(PyramidNet, 18, 270, False), CIFAR100)
_register("densenet-100-12", partial(DenseNet, 32, 12, 16), CIFAR100)
_register("densenet-100-24", partial(DenseNet, 32, 24, 16), CIFAR100)
_register("densenet-bc-190-40", partial(DenseNet, 31, 40, 80, True, 0.5), CIFAR100)
_register("nasnet-a", NasNet, InputSpec((331, 331), resize="crop", mean=(0.5,) * 3, std=(0.5,) * 3))
# The dense layer of -fc is the projection of the embedding, or the classifier.
for _name in ("resnet-32", "resnet-110"):
    for _suffix in ("", "-selu"):
        ARCHITECTURES[f"{_name}-fc{_suffix}"] = replace(ARCHITECTURES[f"{_name}{_suffix}"], like=_name)


def architectures() -> list[str]:
    """Return the names that :class:`~perisphere.nets.NetSpec` takes as ``backbone``.

    Left out are second names (``-fc``) and the networks with SELU, each the name of its ReLU network and
    ``-selu``.
    """
    return [name for name in ARCHITECTURES if not name.endswith(("-fc", "-selu"))]


def input_spec(name: str) -> InputSpec:
    """Return the input that the architecture ``name`` expects.

    Raises:
        KeyError: there is no such architecture.
    """
    return ARCHITECTURES[name].input
