"""Features of a photo by position: of a layer of a segmentation network, or of a stage of any backbone."""

import copy
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from perisphere.codes import VladNet
from perisphere.encoder.encoder import Encoder
from perisphere.encoder.inference import Precision, choose_device, choose_precision
from perisphere.encoder.segment import DAMAGED, LARGEST, Segmenter
from perisphere.encoder.whole_picture import SMALLEST, whole_picture
from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.nets import EmbeddingNet, TransformersNet
from perisphere.nets.segmentation import SegmentationNet

LAST = "last"
"""The layer of a network of the transformers library that its features by position are of."""

_Module = TypeVar("_Module", bound=nn.Module)


class DenseFeatures:
    """What turns a photo into a map of unit vectors.

    The whole photo is seen in its own shape, its longer side brought down to the encoder's input.

    Args:
        encoder: of any network with feature maps.
        layer: of a segmentation network ``shallow``, ``backbone``, ``merged``, ``gate`` or ``decoder`` (the
            default); of others a stage of the backbone, such as ``layer3``, by default the last; of networks
            of the transformers library ``last`` alone.
        size: pixels of the longer side; ``None`` takes the encoder's input.
        device: see :func:`~perisphere.encoder.inference.choose_device`.
        precision: see :func:`~perisphere.encoder.inference.choose_precision`.

    Raises:
        PerisphereError: the encoder has no feature maps.
        UsageError: it has no such layer, or the size is out of range.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        layer: str | None = None,
        size: int | None = None,
        device: str | torch.device | None = None,
        precision: Precision = "auto",
    ) -> None:
        if size is not None and not SMALLEST <= size <= LARGEST:
            raise UsageError(f"size {size}: give {SMALLEST} to {LARGEST} pixels.")
        self.encoder = encoder
        self.size = size or max(encoder.preprocessing.size)
        self._segmenter: Segmenter | None = None
        net = encoder.net
        if isinstance(net, SegmentationNet):
            self.layer: str = net.layer(layer or "decoder")
            self._segmenter = Segmenter(encoder, size=size, device=device, precision=precision)
            return
        if isinstance(net, VladNet):
            raise PerisphereError(
                f"the encoder {encoder.name!r} has no feature maps: take one with a network."
            )
        self.device = choose_device(device)
        self.dtype = choose_precision(precision, self.device)
        self._patch = net.patch if isinstance(net, TransformersNet) else 1
        self.layer, self._features = (
            self._pretrained(net, layer) if isinstance(net, TransformersNet) else self._stage(net, layer)
        )

    def _pretrained(self, net: TransformersNet, layer: str | None) -> tuple[str, Callable[[Tensor], Tensor]]:
        if layer not in (None, LAST):
            raise UsageError(f"{self.encoder.name!r} has no layer {layer!r}.{_offer(str(layer), [LAST])}")
        return LAST, self._moved(net).features

    def _stage(self, net: EmbeddingNet, layer: str | None) -> tuple[str, Callable[[Tensor], Tensor]]:
        """Return the name of a stage of the backbone, and what runs up to it."""
        names = [name for name, _ in net.backbone.stages()]
        if not names:  # of raw pixels
            raise PerisphereError(
                f"the encoder {self.encoder.name!r} has no feature maps: take one with a network."
            )
        layer = names[-1] if layer is None else layer
        if layer not in names or not net.backbone.splits:
            known = names if net.backbone.splits else names[-1:]
            raise UsageError(f"{self.encoder.name!r} has no layer {layer!r}.{_offer(layer, known)}")
        stop, backbone = names.index(layer) + 1, self._moved(net.backbone)
        return layer, backbone if stop == len(names) else partial(backbone.run, start=0, stop=stop)

    def _moved(self, net: _Module) -> _Module:
        """Return a copy on the device, set up to run."""
        moved = copy.deepcopy(net).eval().requires_grad_(False)
        moved.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return moved

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return unit vectors by position, float32 ``[c, h', w']``; a position without any is zero.

        Args:
            picture: uint8 RGB ``[h, w, 3]``.

        Raises:
            PerisphereError: the network gives NaN or no feature map.
        """
        if self._segmenter is not None:
            return self._segmenter.features(picture, self.layer)
        return self._of_backbone(picture)

    @torch.inference_mode()
    def _of_backbone(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        preprocessing, patch = self.encoder.preprocessing, self._patch
        images = whole_picture(picture, preprocessing, self.size, patch=patch, device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            features = self._features(images)
        if features.ndim != 4:
            raise PerisphereError(f"the layer {self.layer} of {self.encoder.name!r} gives no feature map.")
        vectors = normalize(features.float(), dim=1)[0].cpu().numpy()
        if not np.isfinite(vectors).all():
            raise PerisphereError(DAMAGED)
        return vectors


def _offer(layer: str, known: list[str]) -> str:
    return nearest(layer, known) or f" Its layers are {', '.join(known)}."
