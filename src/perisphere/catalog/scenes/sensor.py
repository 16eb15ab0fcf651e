"""From light to pixels: what a lens and a sensor do to a picture."""

from dataclasses import dataclass

import cv2
import numpy as np

from perisphere.catalog.scenes.render import Rendering

_TARGETS = {"night": 0.16, "dusk": 0.30}  # brightness that the exposure aims at; by day 0.44


@dataclass(frozen=True)
class Sensor:
    """A lens and a sensor, as they are set for one photo.

    Attributes:
        exposure: factor on the automatic exposure.
        balance: float32 ``[3]``: factors on red, green and blue.
        blur: standard deviation of the lens blur, in thousandths of the picture's width.
        noise: standard deviation of the sensor's noise, of 1.
        response: float32 ``[3, 3]``: how the filters mix the colours; None: they do not.
    """

    exposure: float
    balance: np.ndarray
    blur: float
    noise: float
    response: np.ndarray | None = None

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, colour: float, blur: float, noise: float) -> "Sensor":
        """Draw the camera in a visitor's hand; the names are those of a difficulty."""
        exposure = float(np.exp(rng.normal(0, 2 * colour)))
        balance = np.exp(rng.normal(0, colour, 3)).astype(np.float32)
        return cls(exposure, balance, float(rng.uniform(0, blur)), noise)

    def develop(self, picture: Rendering, rng: np.random.Generator, lit: str, shrink: int) -> np.ndarray:
        """Exposure, white balance, film curve, antialiasing, blur, vignette and noise.

        Args:
            picture: as rendered, ``shrink`` times as large as the photo.
            rng: dice of the grain.
            lit: name of the light.
            shrink: factor.

        Returns:
            uint8 ``[s, s, 3]``.
        """
        radiance = picture.radiance
        size = len(radiance) // shrink
        mean = float(np.clip(radiance.mean(dtype=np.float64), 0.02, 4))
        exposure = (_TARGETS.get(lit, 0.44) / mean) ** 0.7 * self.exposure
        film = _film(np.maximum(radiance, 0) * np.float32(exposure) * self.balance, self.response)
        image = cv2.resize(film, (size, size), interpolation=cv2.INTER_AREA)
        sigma = self.blur * size / 1000
        if sigma > 0.2:
            image = cv2.GaussianBlur(image, (0, 0), sigma)
        span = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
        image *= (1 - 0.32 * (span[:, None] ** 2 + span[None, :] ** 2))[..., None]
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        strength = self.noise * rng.uniform(0.4, 1.6) * (1.5 if lit == "night" else 1.0)
        image += grain * np.float32(strength)
        return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


def _film(exposed: np.ndarray, response: np.ndarray | None) -> np.ndarray:
    """A film-like curve (Hejl and Burgess-Dawson): contrast in the middle, soft shoulder; gamma included."""
    if response is not None:
        mixed = sum(exposed[..., k, None] * response[:, k] for k in range(3))
        exposed = np.maximum(mixed, 0)
    grey = exposed.mean(2, keepdims=True)
    x = np.maximum(grey + (exposed - grey) * 1.3, 0) * 0.62
    x = np.maximum(x - 0.004, 0)
    return ((x * (6.2 * x + 0.5)) / (x * (6.2 * x + 1.7) + 0.06)).astype(np.float32)
