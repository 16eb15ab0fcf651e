"""Which layer of a Keras model is which module of ours.

Each function yields the modules of a backbone that have weights, in the order in which the published program
made its layers, with the layer's name; ``None`` where Keras numbered the layer itself (``conv2d_7``), which
leaves the order among the layers of its kind.
"""

from collections.abc import Callable, Iterator

from torch import nn

from perisphere.nets.backbone import Backbone
from perisphere.nets.densenet import DenseNet
from perisphere.nets.nasnet import FactorisedReduction, NasNet, ReductionCell
from perisphere.nets.plain import PlainNet
from perisphere.nets.pooled_resnet import PooledResNet
from perisphere.nets.pyramidnet import PyramidNet
from perisphere.nets.resnet import ResNet
from perisphere.nets.wide_resnet import WideResNet

Names = Iterator[tuple[str, str | None]]
SEPARABLE = (
    (1, "separable_conv_1"),
    (2, "separable_conv_1_bn"),
    (4, "separable_conv_2"),
    (5, "separable_conv_2_bn"),
)


def _plain(backbone: Backbone) -> Names:
    number = 0  # poolings count too
    for stage, layers in backbone.stages()[:-1]:
        for position, _ in enumerate(layers.children()):
            number += 1
            yield f"{stage}.{position}.conv", f"conv{number}"
            yield f"{stage}.{position}.bn", f"bn{number}"
        number += 1
    yield "fc.fc", f"fc{number + 1}"
    yield "fc.bn", f"bn{number + 1}"


def _pooled_resnet(backbone: Backbone) -> Names:
    yield "conv1", "conv0"
    yield "bn1", "bn0"
    for number, (stage, blocks) in enumerate(backbone.stages()[1:], start=1):
        for position, _ in enumerate(blocks.children()):
            for part, letter in ((1, "x"), (2, "y")):
                yield f"{stage}.{position}.conv{part}", f"res{number}-{position + 1}{letter}"
                yield f"{stage}.{position}.bn{part}", f"bn{number}-{position + 1}{letter}"


def _numbered(backbone: Backbone) -> Names:
    """Yield modules that were registered in the order in which Keras made its layers."""
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            yield name, None


def _pyramidnet(backbone: Backbone) -> Names:
    named = {"conv1": "conv0", "bn1": "bn0", "bn": "bn4"}
    for name, _ in _numbered(backbone):
        yield name, named.get(name)


def _resnet50(backbone: Backbone) -> Names:
    yield "conv1", "conv1"
    yield "bn1", "bn_conv1"
    for block, parts in _resnet_blocks(backbone):
        stage, position = int(block[5]), int(block[7:])
        place = f"{stage + 1}{chr(ord('a') + position)}_branch"
        for conv, bn, number in parts:
            branch = f"2{'abc'[number - 1]}" if number else "1"
            yield f"{block}.{conv}", f"res{place}{branch}"
            yield f"{block}.{bn}", f"bn{place}{branch}"


def _deeper_resnet(backbone: Backbone) -> Names:
    yield "conv1", "conv1_conv"
    yield "bn1", "conv1_bn"
    for block, parts in _resnet_blocks(backbone):
        place = f"conv{int(block[5]) + 1}_block{int(block[7:]) + 1}"
        for conv, bn, number in parts:
            yield f"{block}.{conv}", f"{place}_{number}_conv"
            yield f"{block}.{bn}", f"{place}_{number}_bn"


def _resnet_blocks(backbone: Backbone) -> Iterator[tuple[str, list[tuple[str, str, int]]]]:
    """Yield each block, ``layer3.5``, with the pairs of convolution and normalisation; 0 is the shortcut."""
    for stage, blocks in backbone.stages()[1:]:
        for position, block in enumerate(blocks.children()):
            parts = [(f"conv{number}", f"bn{number}", number) for number in (1, 2, 3)]
            shortcut = [("downsample.0", "downsample.1", 0)] if getattr(block, "downsample", None) else []
            yield f"{stage}.{position}", shortcut + parts


def _nasnet(backbone: Backbone) -> Names:
    assert isinstance(backbone, NasNet)
    yield "conv1", "stem_conv1"
    yield "bn1", "stem_bn1"
    yield from _cell("stem1", backbone.stem1, "reduction", "stem_1")
    yield from _cell("stem2", backbone.stem2, "reduction", "stem_2")
    passed = 0  # normal cells
    for stage, part in backbone.stages()[1:]:
        if isinstance(part, ReductionCell):
            yield from _cell(stage, part, "reduction", f"reduce_{passed}")
            continue
        for position, cell in enumerate(part.children()):
            # The first stage counts from 0, the others from 1.
            yield from _cell(f"{stage}.{position}", cell, "normal", str(passed + (stage != "layer1")))
            passed += 1


def _cell(path: str, cell: nn.Module, kind: str, label: str) -> Names:
    if isinstance(cell.adjust, FactorisedReduction):
        yield f"{path}.adjust.even", f"adjust_conv_1_{label}"
        yield f"{path}.adjust.odd", f"adjust_conv_2_{label}"
        yield f"{path}.adjust.bn", f"adjust_bn_{label}"
    elif isinstance(cell.adjust, nn.Sequential):
        yield f"{path}.adjust.1", f"adjust_conv_projection_{label}"
        yield f"{path}.adjust.2", f"adjust_bn_{label}"
    yield f"{path}.project.1", f"{kind}_conv_1_{label}"
    yield f"{path}.project.2", f"{kind}_bn_1_{label}"
    for name, branch in cell.named_children():
        if name.startswith(("left", "right")) and isinstance(branch, nn.Sequential):
            for position, layer in SEPARABLE:
                yield f"{path}.{name}.{position}", f"{layer}_{kind}_{name}_{label}"


def keras_names(backbone: Backbone, layers: frozenset[str]) -> list[tuple[str, str | None]] | None:
    """Return module and layer of each pair, or ``None`` for a backbone that was not published with Keras.

    Args:
        backbone: which modules there are.
        layers: the names in the file; ResNet-50 was published with other names than the deeper ResNets.
    """
    if isinstance(backbone, ResNet):
        if not backbone.early_stride:
            return None
        return list((_deeper_resnet if "conv1_conv" in layers else _resnet50)(backbone))
    found = next((names for kind, names in _NAMES.items() if isinstance(backbone, kind)), None)
    return None if found is None else list(found(backbone))


_NAMES: dict[type[Backbone], Callable[[Backbone], Names]] = {
    PlainNet: _plain,
    PooledResNet: _pooled_resnet,
    WideResNet: _numbered,
    DenseNet: _numbered,
    PyramidNet: _pyramidnet,
    NasNet: _nasnet,
}
