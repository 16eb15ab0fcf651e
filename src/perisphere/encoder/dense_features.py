"""Features of a photo by position: of a layer of a segmentation network, or of a stage of any backbone."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from perisphere.encoder.encoder import Encoder
from perisphere.encoder.inference import Precision, choose_device, choose_precision
from perisphere.encoder.segment import DAMAGED, LARGEST, Segmenter
from perisphere.encoder.whole_picture import SMALLEST, whole_picture
from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.nets import EmbeddingNet
from perisphere.nets.segmentation import SegmentationNet


class DenseFeatures:
    """What turns a photo into a map of unit vectors.

    The whole photo is seen in its own shape, its longer side brought down to the encoder's input.

    Args:
        encoder: of any network with feature maps.
        layer: of a segmentation network ``shallow``, ``backbone``, ``merged``, ``gate`` or ``decoder`` (the
            default); of others a stage of the backbone, such as ``layer3``, by default the last.
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
        if not isinstance(net, EmbeddingNet):
            raise PerisphereError(
                f"the encoder {encoder.name!r} has no feature maps: take one with a network."
            )
        names = [name for name, _ in net.backbone.stages()]
        self.layer = names[-1] if layer is None else layer
        if self.layer not in names or not net.backbone.splits:
            known = names if net.backbone.splits else names[-1:]
            raise UsageError(f"{encoder.name!r} has no layer {layer!r}.{_offer(str(layer), known)}")
        self._stop = names.index(self.layer) + 1
        self._whole = self._stop == len(names)
        self.device = choose_device(device)
        self.dtype = choose_precision(precision, self.device)
        self._backbone = copy.deepcopy(net.backbone).eval().requires_grad_(False)
        self._backbone.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

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
        images = whole_picture(picture, self.encoder.preprocessing, self.size, device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            features = self._backbone(images) if self._whole else self._backbone.run(images, 0, self._stop)
        if features.ndim != 4:
            raise PerisphereError(f"the layer {self.layer} of {self.encoder.name!r} gives no feature map.")
        vectors = normalize(features.float(), dim=1)[0].cpu().numpy()
        if not np.isfinite(vectors).all():
            raise PerisphereError(DAMAGED)
        return vectors


def _offer(layer: str, known: list[str]) -> str:
    return nearest(layer, known) or f" Its layers are {', '.join(known)}."
