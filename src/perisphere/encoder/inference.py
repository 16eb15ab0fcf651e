"""A network set up to embed: runtime, device, number format, memory layout."""

import copy
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch

from perisphere.codes import VladNet
from perisphere.encoder.loading import cores
from perisphere.encoder.preprocessing import Preprocessing
from perisphere.encoder.runtimes.compiled import Compiled
from perisphere.encoder.scales import Scales
from perisphere.encoder.whitening import Whitening
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import EmbeddingNet, SegmentationNet, TransformersNet

# On a processor, a large batch's feature maps pass glibc's limit for reusable memory (32 MiB): every layer
# then maps and clears fresh pages. At 32 images of 224 pixels that took a third of ResNet-50's time and half
# of SqueezeNet's; four at a time take none of it.
PIXELS_AT_ONCE = 4 * 227 * 227

Net: TypeAlias = EmbeddingNet | SegmentationNet | TransformersNet | VladNet
"""What an encoder can hold."""

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """Return the named device, or for ``None`` and ``"auto"`` the fastest kind that is there.

    Raises:
        UsageError: a name that torch does not know, or a device that this machine has not.
    """
    if device is None or device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        raise UsageError(f"device {str(device)!r} is not usable here ({reason}); use auto or cpu.") from error
    return chosen


def has_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 in hardware, where it is about twice as fast as float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype of the network's products on ``device``.

    Raises:
        UsageError: an unknown name, or bfloat16 where the hardware would only imitate it.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"precision {precision!r} is unknown: use auto, float32 or bfloat16.")
    if precision == "float32":
        return torch.float32
    if has_bfloat16(device):
        return torch.bfloat16
    if precision == "bfloat16":
        raise UsageError(f"precision 'bfloat16' has no hardware on this {device.type}: use auto or float32.")
    return torch.float32


class Inference:
    """A copy of a network that turns resized pictures into unit rows, or into features of any length.

    Args:
        net: stays untouched.
        preprocessing: its normalisation is applied; the attribute is the one to read pictures with, which
            leaves them uncut where they are seen in ten views.
        device: see :func:`choose_device`; VLAD is computed on the processor in any case.
        precision: see :func:`choose_precision`; the result is float32 in any case.
        scales: at which a picture is embedded.
        whitening: applied to the unit rows, if any.
        unit: whether rows are brought to length one; else they are what the network or the whitening gives.
        compiled: what runs the network in torch's place, on the processor; ``precision`` was its choice.
    """

    def __init__(
        self,
        net: Net,
        preprocessing: Preprocessing,
        *,
        device: str | torch.device | None = None,
        precision: Precision = "auto",
        scales: Scales | None = None,
        whitening: Whitening | None = None,
        unit: bool = True,
        compiled: Compiled | None = None,
    ) -> None:
        vlad = isinstance(net, VladNet)
        self.runtime = compiled.runtime if compiled else "torch"
        if compiled:
            self.device, self.dtype = torch.device("cpu"), compiled.dtype
        else:
            self.device = torch.device("cpu") if vlad else choose_device(device)
            self.dtype = torch.float32 if vlad else choose_precision(precision, self.device)
        self.scales, self.whitening, self.size = scales or Scales(), whitening, preprocessing.size
        ten = self.scales.views == "ten"
        self.preprocessing = preprocessing.uncut() if ten else preprocessing
        self.unit = unit
        self._net_dim = net.dim
        self.net: Net | Compiled = compiled or _placed(net, self.device)

    @property
    def _view(self) -> tuple[int, int] | None:
        return self.size if self.scales.views == "ten" else None

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        return self.whitening.dim if self.whitening else self._net_dim

    def __call__(self, pictures: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Embed uint8 RGB pictures, ``[h, w, 3]`` each, as float32 ``[n, dim]`` rows; zero stays zero.

        Raises:
            PerisphereError: the network gives NaN or infinity.
        """
        if not len(pictures):
            return np.empty((0, self.dim), np.float32)
        rows = self._embedded(pictures)
        if self.whitening is not None:
            rows = _unit(rows)
            directed = rows.any(axis=1, keepdims=True)  # a zero has no direction, and gets none by whitening
            rows = np.where(directed, self.whitening(rows), 0).astype(np.float32)
        return _unit(rows) if self.unit else _finite(rows)

    def ready(self, pictures: np.ndarray) -> torch.Tensor:
        """Bring uint8 ``[n, h, w, 3]`` to the device as the network's float32 ``[n, 3, h, w]``."""
        batch = torch.from_numpy(pictures)
        if self.device.type == "cuda":
            batch = batch.pin_memory()
        return self.preprocessing.normalise(batch.to(self.device, non_blocking=True))

    @torch.inference_mode()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Run the network: float32 ``[n, 3, h, w]`` to float32 ``[n, d]``, of any length."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            if self.device.type != "cpu":
                return self.scales(self.net, images, self._view)
            largest = max(self.scales.factors) ** 2 * images.shape[2] * images.shape[3]
            at_once = max(1, int(PIXELS_AT_ONCE / max(largest, 1)))
            return torch.cat([self.scales(self.net, some, self._view) for some in images.split(at_once)])

    def _embedded(self, pictures: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 ``[n, d]`` of the network, pictures of one size embedded together."""
        if isinstance(self.net, VladNet):
            return self.net(pictures, threads=cores()).numpy()
        if isinstance(pictures, np.ndarray):
            return self.forward(self.ready(pictures)).cpu().numpy()
        rows = np.empty((len(pictures), self._net_dim), np.float32)
        for places in _by_size(pictures):
            same = np.stack([pictures[place] for place in places])
            rows[places] = self.forward(self.ready(same)).cpu().numpy()
        return rows


def _placed(net: Net, device: torch.device) -> Net:
    placed = copy.deepcopy(net).eval().requires_grad_(False)
    return placed.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def _by_size(pictures: Sequence[np.ndarray]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, picture in enumerate(pictures):
        groups.setdefault(picture.shape, []).append(place)
    return list(groups.values())


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(_finite(vectors), axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _finite(vectors: np.ndarray) -> np.ndarray:
    if not np.isfinite(np.linalg.norm(vectors, axis=1)).all():
        raise PerisphereError(
            "the network gives NaN or infinity: its weights are damaged; import or train it again."
        )
    return vectors
