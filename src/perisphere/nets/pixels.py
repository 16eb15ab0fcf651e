"""The baseline without a network: the pixels themselves."""

from torch import Tensor, nn

from perisphere.errors import PerisphereError
from perisphere.nets.backbone import Backbone


class Pixels(Backbone):
    """Flattens an image of ``input_size`` pixels a side; no parameters."""

    nonnegative = False  # a mean is taken away from them

    def __init__(self, input_size: int = 32) -> None:
        super().__init__()
        self.input_size = input_size
        self.dim = 3 * input_size**2

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return no stages: there is nothing to train."""
        return []

    def forward(self, images: Tensor) -> Tensor:
        """Return ``[n, 3 * input_size ** 2, 1, 1]``."""
        side = self.input_size
        if images.shape[-2:] != (side, side):
            raise PerisphereError(
                f"the backbone pixels was made for {side} x {side} images and got {images.shape[-2]} x "
                f"{images.shape[-1]}. Set input_size to the size of the preprocessing."
            )
        return images.reshape(-1, self.dim, 1, 1)
