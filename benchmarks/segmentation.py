"""Mask refinement and correspondence losses beside the published way to compute them: time, memory, floors.

    python benchmarks/segmentation.py pamr            # 8 images, 11 masks, 321 x 321, 48 neighbours, 10 times
    python benchmarks/segmentation.py correspondence  # 16 pairs, 256 points, 16 negatives, 256 x 56 x 56

pamr: the published program takes neighbours by convolutions with kernels of a single one, a kernel for each
direction and a dilation for each distance, over a replicated border; it stacks the shifted copies of every
mask, multiplies the stack by the affinities and sums it, iteration by iteration. Both results must agree to
1e-5. Floors: the arithmetic of the iterations at the speed of a matrix product, and their bytes (affinities
and masks, read and written once an iteration) at the speed of a copy.

correspondence: the published program goes through the pairs; each stacks the feature maps that its points lie
in and samples them by grid_sample. Forward and backward are timed; loss and gradient must agree. Floors: the
arithmetic of sampling, lengths and products, thrice (forward, and the gradients of both factors), and the
bytes of what is read and written: the features, their gradients, and the four positions around every point.

Each contender runs in a process of its own, with the same inputs, dtype and threads; memory is that beyond
the inputs. Times are the least of several; on a busy machine, compare the processor's with --threads 1.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy, grid_sample, interpolate, pad

from peak import Peak
from perisphere.losses import Negatives, correspondence, draw_negatives
from perisphere.nets.pamr import DILATIONS, ITERATIONS, refine

TARGETS = {"pamr": 2.0, "correspondence": 5.0}
CLOSE = {"pamr": 1e-5, "correspondence": 1e-5}
SIZES = {"pamr": {"images": 8, "size": 321}, "correspondence": {"images": 16, "size": 56}}
CLASSES, POINTS, NEGATIVES, CHANNELS, TAU = 11, 256, 16, 256, 0.07
ONES = torch.eye(9).view(9, 1, 3, 3)
AROUND = [0, 1, 2, 3, 5, 6, 7, 8]


def windows(planes: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each plane with each kernel at each dilation, ``[n, c, kernels * dilations, h, w]``."""
    n, c, h, w = planes.shape
    single = planes.reshape(n * c, 1, h, w)
    found = [
        conv2d(pad(single, [distance] * 4, mode="replicate"), kernels, dilation=distance)
        for distance in DILATIONS
    ]
    return torch.cat(found, 1).view(n, c, -1, h, w)


@torch.no_grad()
def stacked(images: Tensor, masks: Tensor) -> Tensor:
    """Refine masks as published, through stacks of shifted copies."""
    masks = interpolate(masks, images.shape[-2:], mode="bilinear", align_corners=True)
    unit = 1e-8 + 0.1 * windows(images, ONES).std(2, keepdim=True)
    away = windows(images, ONES[4] - ONES[AROUND]).abs()
    weights = (-away / unit).mean(1, keepdim=True).softmax(2)
    for _ in range(ITERATIONS):
        masks = (windows(masks, ONES[AROUND]) * weights).sum(2)
    return masks


def looped(features: Tensor, points: Tensor, negatives: Negatives) -> Tensor:
    """Add up the contrastive loss as published, pair by pair."""
    queries, partners = features.chunk(2)
    total = features.new_zeros(())
    for pair in range(len(points)):
        maps = torch.cat([queries[pair][None], partners[pair][None], partners[negatives.images[pair]]])
        own = points[pair].view(-1, 2, 2).transpose(0, 1)
        grid = torch.cat([own, negatives.places[pair].transpose(0, 1)])[:, None] * 2 - 1
        sampled = grid_sample(maps, grid.flip(-1), align_corners=True)[:, :, 0]  # [2 + N, c, K]
        sampled = sampled / (sampled.norm(dim=1, keepdim=True) + 1e-6)
        query = sampled[:1].expand(len(sampled) - 1, -1, -1).transpose(0, 2)
        logits = (query * sampled[1:].transpose(0, 2)).sum(1) / TAU
        total = total + cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
    return total


def refining(images: int, size: int) -> dict[str, Callable[[], list[Tensor]]]:
    """Return both ways to refine the same masks, which come at a quarter of the photos' size."""
    draw = torch.Generator().manual_seed(0)
    photos = interpolate(
        torch.rand(images, 3, size // 8, size // 8, generator=draw), (size, size), mode="bicubic"
    )
    photos = (photos + 0.02 * torch.randn(photos.shape, generator=draw)).clamp_(0, 1)
    masks = torch.randn(images, CLASSES, size // 4, size // 4, generator=draw).mul_(2).softmax(1)
    return {"perisphere": lambda: [refine(photos, masks)], "published": lambda: [stacked(photos, masks)]}


def matching(pairs: int, size: int) -> dict[str, Callable[[], list[Tensor]]]:
    """Return both ways to the loss and gradient of the same points."""
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(2 * pairs, CHANNELS, size, size, generator=draw).requires_grad_()
    points = torch.rand(pairs, POINTS, 4, generator=draw)
    real = torch.ones(pairs, POINTS, dtype=torch.bool)
    negatives = draw_negatives("contrastive", points, NEGATIVES, generator=draw)
    assert negatives is not None

    def learn(loss: Tensor) -> list[Tensor]:
        return [loss.detach(), *torch.autograd.grad(loss, features)]

    return {
        "perisphere": lambda: learn(correspondence(features, points, real, negatives=negatives, tau=TAU)),
        "published": lambda: learn(looped(features, points, negatives)),
    }


CONTENDERS = {"pamr": refining, "correspondence": matching}


def floors(task: str, images: int, size: int) -> dict[str, float]:
    """Return the seconds that the arithmetic and the bytes of a task need at the least."""
    positions = images * size * size
    if task == "pamr":
        neighbours = len(DILATIONS) * len(AROUND)
        operations = 2 * ITERATIONS * positions * neighbours * CLASSES
        numbers = ITERATIONS * positions * (neighbours + 2 * CLASSES)
    else:
        sampled = images * POINTS * (2 + NEGATIVES)
        operations = 3 * sampled * CHANNELS * 2 * (4 + 1 + 1)
        numbers = 2 * 2 * positions * CHANNELS + 2 * 4 * sampled * CHANNELS
    side, long = 2048, 1 << 26
    matrix, source = torch.rand(side, side), torch.rand(long)
    target = torch.empty_like(source)
    product, _ = least(lambda: matrix @ matrix, 5)
    copy, _ = least(lambda: target.copy_(source), 5)
    return {
        "floor: arithmetic": product * operations / (2 * side**3),
        "floor: bytes": copy * numbers / (2 * long),
    }


def least(work: Callable[[], object], times: int) -> tuple[float, float]:
    """Return the shortest of several times of a piece of work, and of its processor time, in seconds."""
    work()
    walls, processors = [], []
    for _ in range(times):
        begun, busy = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - begun)
        processors.append(time.process_time() - busy)
    return min(walls), min(processors)


def contend(options: argparse.Namespace) -> None:
    """Run one contender: print its figures, and leave its result for the comparison."""
    torch.set_num_threads(options.threads)
    work = CONTENDERS[options.task](options.images, options.size)[options.contender]
    with Peak() as peak:
        result = work()
    np.savez(options.result, *[each.numpy() for each in result])
    del result
    seconds, processor = least(work, options.times)
    print(json.dumps({"seconds": seconds, "processor": processor, "peak GiB": peak.gib}))


def run(name: str, options: argparse.Namespace, result: Path) -> dict[str, float]:
    """Run a contender in a process of its own, whose memory nothing else has touched."""
    words = [options.task, "--contender", name, "--result", str(result)]
    for option in ("images", "size", "threads", "times"):
        words += [f"--{option}", str(getattr(options, option))]
    done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def deviation(folder: Path) -> float:
    """Return the largest difference between both results, as a share of the largest value of each."""
    with np.load(folder / "perisphere.npz") as ours, np.load(folder / "published.npz") as theirs:
        return max(float(np.abs(ours[key] - theirs[key]).max() / np.abs(theirs[key]).max()) for key in ours)


def compare(options: argparse.Namespace) -> bool:
    """Run both contenders and show their figures; say whether the targets are met."""
    with TemporaryDirectory() as folder:
        found = {
            name: run(name, options, Path(folder) / f"{name}.npz") for name in ("published", "perisphere")
        }
        apart = deviation(Path(folder))
    torch.set_num_threads(options.threads)
    lows = floors(options.task, options.images, options.size)
    ours, theirs = found["perisphere"], found["published"]
    faster = theirs["seconds"] / ours["seconds"]
    print(f"{options.task}: {options.images} x {options.size} x {options.size}, {options.threads} threads")
    for name, figures in found.items():
        print(
            f"  {name:20} {figures['seconds']:8.3f} s   processor {figures['processor']:8.3f} s"
            f"   peak {figures['peak GiB']:6.2f} GiB"
        )
    for name, seconds in lows.items():
        print(f"  {name:20} {seconds:8.3f} s")
    print(f"  times faster {faster:.1f} (target {TARGETS[options.task]:.0f}), largest deviation {apart:.1e}")
    met = faster >= TARGETS[options.task] and apart <= CLOSE[options.task]
    return met and ours["peak GiB"] <= theirs["peak GiB"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("task", choices=CONTENDERS)
    parser.add_argument("--images", type=int, help="images (pamr) or pairs (correspondence)")
    parser.add_argument("--size", type=int, help="side of the photos (pamr) or of the feature maps, pixels")
    parser.add_argument("--times", type=int, default=3, help="runs after a first, whose memory is taken")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name, value in SIZES[options.task].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.contender:
        contend(options)
    elif not compare(options):
        sys.exit("error: a target is missed")


if __name__ == "__main__":
    main()
