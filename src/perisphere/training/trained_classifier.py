"""The classifier of a run, which encoders leave out, with the network that it ended on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.inference import choose_device
from perisphere.encoder.loading import Source, batches
from perisphere.encoder.preprocessing import Box
from perisphere.errors import PerisphereError
from perisphere.methods.supervised import Supervised
from perisphere.nets import build
from perisphere.progress import bar
from perisphere.training.folder import RECIPE, read_checkpoint
from perisphere.training.modules import Learning, module_for
from perisphere.training.recipe_files import load

BATCH = 64


@dataclass(frozen=True)
class TrainedClassifier:
    """A network with the classifier on top of it, as both were after the last epoch of a run.

    Attributes:
        module: of the run's method, in evaluation mode.
        preprocessing: from decoded pixels to its input.
        classes: labels that it tells apart, in the order of its outputs.
        epoch: that the run ended with.
    """

    module: Supervised
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    epoch: int

    @classmethod
    def of_run(cls, folder: Path) -> "TrainedClassifier":
        """Read the last checkpoint of a run's last data set.

        Raises:
            PerisphereError: not the folder of a finished run, a damaged file, or a method without a
                classifier.
        """
        if not (folder / RECIPE).is_file() or not (folder / "encoder").is_dir():
            raise PerisphereError(f"{folder}: is no finished run; name a folder of `perisphere train`.")
        recipe, encoder = load(folder / RECIPE), Encoder.load(folder / "encoder")
        stage = folder / "checkpoints" / f"data-{len(recipe.data)}"
        classes = _read_classes(stage / "data.json")
        if recipe.method == "segmentation":
            raise PerisphereError(
                f"{folder}: a run of method segmentation, whose concepts `perisphere segment predict` finds."
            )
        if recipe.method == "quantization":
            raise PerisphereError(f"{folder}: a run of method {recipe.method}, which knows no classes.")
        saved = read_checkpoint(stage / "last.ckpt")
        net = build(encoder.net.spec)  # type: ignore[arg-type]
        points = torch.zeros(len(classes), net.dim)
        learning = Learning(net, len(classes), points, 0, _never, _never)
        module = module_for(recipe, learning)
        if not isinstance(module, Supervised) or not _classifies(module, encoder.preprocessing):
            raise PerisphereError(f"{folder}: a run of method {recipe.method} that trained no classifier.")
        try:
            module.load_state_dict(saved["state_dict"])
        except (RuntimeError, KeyError, TypeError) as error:
            raise PerisphereError(
                f"{stage / 'last.ckpt'}: does not fit its recipe ({' '.join(str(error).split())[:200]})."
            ) from error
        return cls(module.eval(), encoder.preprocessing, classes, int(saved.get("epoch", -1)) + 1)

    @torch.inference_mode()
    def predict(
        self, images: Sequence[Source], *, boxes: Sequence[Box | None] | None = None, top: int = 5
    ) -> NDArray[np.int64]:
        """Return the likeliest classes of each image, the first one first, int64 ``[n, up to top]``.

        Raises:
            PerisphereError: an image that cannot be read.
        """
        device = choose_device(None)
        module = self.module.to(device)
        ranked = np.empty((len(images), min(top, len(self.classes))), np.int64)
        with bar("classifying", len(images)) as advance:
            for batch in batches(images, self.preprocessing, batch_size=BATCH, boxes=boxes):
                if batch.failures:
                    raise batch.failures[0][1]
                pixels = self.preprocessing.normalise(torch.from_numpy(np.asarray(batch.pictures)).to(device))
                logits = module.logits(pixels)
                assert logits is not None  # `of_run` has seen to it
                ranked[batch.rows] = logits.topk(ranked.shape[1], dim=1).indices.cpu().numpy()
                advance(len(batch.rows))
        return ranked


def _never(*_: Any) -> Any:
    raise AssertionError("a classifier that is only asked neither prepares batches nor learns")


@torch.inference_mode()
def _classifies(module: nn.Module, preprocessing: Preprocessing) -> bool:
    assert isinstance(module, Supervised)
    height, width = preprocessing.size or (32, 32)
    return module.eval().logits(torch.zeros(1, 3, height, width)) is not None


def _read_classes(path: Path) -> tuple[str, ...]:
    try:
        return tuple(str(name) for name in json.loads(path.read_text("utf-8"))["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PerisphereError(f"{path}: the run's classes cannot be read ({error}); train again.") from error
