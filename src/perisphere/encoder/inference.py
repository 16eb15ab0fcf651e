"""A network set up to embed: device, number format, memory layout."""

import copy
from typing import Literal, TypeAlias

import numpy as np
import torch

from perisphere.encoder.preprocessing import Preprocessing
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import EmbeddingNet

# On a processor, a large batch's feature maps pass glibc's limit for reusable memory (32 MiB): every layer
# then maps and clears fresh pages. At 32 images of 224 pixels that took a third of ResNet-50's time and half
# of SqueezeNet's; four at a time take none of it.
PIXELS_AT_ONCE = 4 * 227 * 227

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
    """A copy of a network that turns resized pictures into unit rows.

    Args:
        net: stays untouched.
        preprocessing: its normalisation is applied.
        device: see :func:`choose_device`.
        precision: see :func:`choose_precision`; the result is float32 in any case.
    """

    def __init__(
        self,
        net: EmbeddingNet,
        preprocessing: Preprocessing,
        *,
        device: str | torch.device | None = None,
        precision: Precision = "auto",
    ) -> None:
        self.device = choose_device(device)
        self.dtype = choose_precision(precision, self.device)
        self.preprocessing = preprocessing
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.net.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Embed uint8 RGB ``[n, h, w, 3]`` as float32 ``[n, d]`` unit rows; a zero stays zero.

        Raises:
            PerisphereError: the network gives NaN or infinity.
        """
        if not len(pictures):
            return np.empty((0, self.net.dim), np.float32)
        vectors = self.forward(self.ready(pictures)).cpu().numpy()
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all():
            raise PerisphereError(
                "the network gives NaN or infinity: its weights are damaged; import or train it again."
            )
        return vectors / np.where(lengths > 0, lengths, 1)

    def ready(self, pictures: np.ndarray) -> torch.Tensor:
        """Bring uint8 ``[n, h, w, 3]`` to the device as the network's float32 ``[n, 3, h, w]``."""
        batch = torch.from_numpy(pictures)
        if self.device.type == "cuda":
            batch = batch.pin_memory()
        return self.preprocessing.normalise(batch.to(self.device, non_blocking=True))

    @torch.inference_mode()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Run the network: float32 ``[n, 3, h, w]`` to float32 ``[n, d]``, not normalised."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            if self.device.type != "cpu":
                return self.net(images).float()
            at_once = max(1, PIXELS_AT_ONCE // (images.shape[2] * images.shape[3]))
            return torch.cat([self.net(some).float() for some in images.split(at_once)])
