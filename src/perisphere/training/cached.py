"""What the frozen leading part of a network makes of the photos, computed once and kept on disk.

Only the rest of the network is then run in every epoch.
"""

import hashlib
import shutil
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perisphere.encoder.inference import choose_device
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import EmbeddingNet
from perisphere.progress import bar
from perisphere.storage import whole_file
from perisphere.training.loader import Batches, Loader, derive

MIRRORS = 17  # tells the draws of mirror images from those of orders and views


class FeatureLoader(Batches):
    """Batches of kept features, float32 ``[share, ...]``.

    Args:
        features: float ``[variants, n, ...]`` of the photos and, as second variant, of their mirror images.
        targets: int64 ``[n]``.
        flip: probability of the mirror image.
        order: how :class:`Batches` orders them.
    """

    def __init__(self, features: np.ndarray, targets: np.ndarray, *, flip: float = 0.0, **order: Any) -> None:
        super().__init__(targets, **order)
        self.features, self.flip = features, flip

    def pictures(self, rows: np.ndarray) -> Iterator[Tensor]:
        """See :meth:`Batches.pictures`; no mirror images."""
        return self._of(rows, np.zeros(len(rows), np.int64))

    def varied(self, rows: np.ndarray, epoch: int) -> Iterator[Tensor]:
        """Yield the photos or their mirror images."""
        draws = np.random.default_rng(derive(self.seed, epoch, MIRRORS)).random(len(rows))
        return self._of(rows, (draws < self.flip).astype(np.int64))

    def _of(self, rows: np.ndarray, variants: np.ndarray) -> Iterator[Tensor]:
        for start in range(0, len(rows), self.share):
            part = slice(start, start + self.share)
            found = self.features[variants[part], rows[part].clip(min=0)]
            yield torch.from_numpy(np.asarray(found, np.float32))


def frozen_parts(net: EmbeddingNet) -> int:
    """Return how many leading parts have nothing to learn: stages of the backbone, then the pooling.

    Raises:
        UsageError: the first one learns already, or the network cannot be divided behind the last one.
    """
    stages = net.backbone.stages()
    learning = [any(tensor.requires_grad for tensor in stage.parameters()) for _, stage in stages]
    count = learning.index(True) if True in learning else len(stages)
    if count == len(stages):
        after = [part for part in (net.local_projection, net.pooling) if part is not None]
        count += not any(tensor.requires_grad for part in after for tensor in part.parameters())
    if not count:
        raise UsageError(
            f"'freeze.cached': nothing at the beginning of {net.spec.backbone} is frozen. Freeze stages from "
            f"the first one on, e.g. freeze.stages=[{stages[0][0]}]."
        )
    if count <= len(stages) and not net.backbone.splits:
        raise UsageError(
            f"'freeze.cached': {net.spec.backbone} cannot be divided between its stages. Freeze all of it "
            "with freeze.head_only=true."
        )
    return count


def features(
    net: EmbeddingNet, parts: int, loader: Loader, path: Path, *, mirrored: bool, dtype: str, device: str
) -> np.ndarray:
    """Compute the features of all photos of a loader, or open the file of an interrupted run.

    Args:
        net: its first ``parts`` are run in evaluation mode; left in the modes and where it is.
        parts: see :meth:`EmbeddingNet.leading`.
        loader: of the photos.
        path: of the file without its ending; what the features depend on is added to the name.
        mirrored: whether mirror images are computed too.
        dtype: ``float16`` or ``float32``, on disk.
        device: ``cpu``, or ``auto`` for the fastest.

    Returns:
        Memory-mapped ``[1 + mirrored, n, ...]`` in the order of the photos.

    Raises:
        PerisphereError: the disk is too small, or a feature is too large for float16.
    """
    file = path.with_name(f"{path.name}-{_key(net, parts, dtype, mirrored)}.npy")
    if not file.is_file():
        where = choose_device(None if device == "auto" else device)
        blocks = _computed(net, parts, loader, where, 1 + mirrored)
        with closing(blocks), whole_file(file) as part:
            _write(blocks, len(loader.photos), part, file, np.dtype(dtype))
    return np.load(file, mmap_mode="r", allow_pickle=False)


def _key(net: EmbeddingNet, parts: int, dtype: str, mirrored: bool) -> str:
    digest = hashlib.sha256(f"{net.spec.model_dump_json()} {parts} {dtype} {mirrored}".encode())
    for tensor in net.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _computed(
    net: EmbeddingNet, parts: int, loader: Loader, device: torch.device, variants: int
) -> Generator[np.ndarray]:
    """Yield float32 ``[variants, batch, ...]``; the network comes back as it was."""
    modes = {module: module.training for module in net.modules()}
    net.eval().to(device)
    try:
        with torch.no_grad():
            for pictures in loader.pictures(np.arange(len(loader.photos))):
                images = loader.preprocessing.normalise(pictures.to(device))
                both = [images, images.flip(3)][:variants]
                yield torch.stack([net.leading(one, parts).float().cpu() for one in both]).numpy()
    finally:
        net.cpu()
        for module, mode in modes.items():
            module.training = mode


def _write(blocks: Iterator[np.ndarray], count: int, part: Path, file: Path, dtype: np.dtype) -> None:
    """Write the blocks one after another into ``part``, which will be ``file``."""
    kept: np.memmap | None = None
    done = 0
    with bar("frozen layers", count) as advance:
        for found in blocks:
            if kept is None:
                shape = (len(found), count, *found.shape[2:])
                _check_disk(file, shape, dtype)
                kept = np.lib.format.open_memmap(part, "w+", dtype, shape)
            if np.abs(found).max(initial=0) > np.finfo(dtype).max:
                raise PerisphereError(
                    f"{file.parent}: a feature of the frozen layers is too large for {dtype}. "
                    "Set freeze.cached_type=float32."
                )
            kept[:, done : done + found.shape[1]] = found
            done += found.shape[1]
            advance(found.shape[1])
    assert kept is not None
    kept.flush()


def _check_disk(file: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    size, free = int(np.prod(shape)) * dtype.itemsize, shutil.disk_usage(file.parent).free
    if size > 0.95 * free:
        raise PerisphereError(
            f"{file.parent}: the features of the frozen layers take {size / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free. Freeze more stages, name a folder on another disk with -o, "
            "or leave freeze.cached out."
        )
