"""Networks filled by formula, for golden numbers of a whole forward pass (Vigna's splitmix64)."""

import math

import numpy as np
import torch
from torch.nn import functional as F


def drawn(count, n):
    """Return ``count`` numbers of -0.5 to 0.5 that belong to the running number ``n``."""
    with np.errstate(over="ignore"):
        z = np.arange(count, dtype=np.uint64) + np.uint64(n + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2**53 - 0.5


def filled(name, shape, n):
    """Return the tensor of this name that the formula makes."""
    values = torch.from_numpy(drawn(math.prod(shape), n)).reshape(shape)
    if len(shape) == 4:
        scale = math.sqrt(24 / math.prod(shape[1:]))
        return values * (scale / 10 if name == "last_conv.0.weight" else scale)
    if name.endswith("running_var"):
        return 1 + 0.4 * values
    if name.endswith(("running_mean", "bias")):
        return 0.2 * values
    return 0.4 + 0.2 * values if name.endswith("bn3.weight") else 1 + 0.4 * values


def published_tensors(layout, offset=0):
    """Return the tensors of a published file: kernels and counters too, everything else filled."""
    tensors, number = {}, 0
    for name, shape in layout:
        if name.startswith("_aff.") or name.endswith("num_batches_tracked"):
            tensors[name] = torch.zeros(shape, dtype=torch.int64 if not shape else torch.float32)
            continue
        tensors[name] = filled(name, shape, offset + number)
        number += 1
    return tensors, number


def picture(height, width, n):
    """Return the image ``[3, h, w]`` of the running number ``n``."""
    values = torch.from_numpy(drawn(3 * height * width, 1000 + n)).reshape(1, 3, height, width) * 3
    return 9 * F.avg_pool2d(F.pad(values, (4, 4, 4, 4), mode="replicate"), 9, 1)[0]
