"""Time of learning from tags, beside the published formulation.

    python benchmarks/quantization.py loss [--device cuda]   # 256 photos, 1,178 tags

``loss``: the adaptive margin loss forward and backward. The published formulation fills a table of photos x
tags x tags and multiplies it by two masks; it is computed for 8 photos at a time here, since the whole table
with its gradient would not fit into most machines, and that costs it nothing. Both must give the same loss
and gradient. Floors beside them: the cosines with their gradient, which are all the arithmetic of vectors,
and reading once the margins of the present tags to all others.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from perisphere.losses import TagPairs, adaptive_margin, tag_margins

PHOTOS, TAGS, DIM, TAGS_A_PHOTO = 256, 1_178, 300, 5
SLICE = 8
TIMES_AS_FAST = 100
MOST_APART = 1e-4


def published(vectors: Tensor, tag_vectors: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss with all negatives, and its gradient, from tables of all pairs of tags."""
    unit_tags = functional.normalize(tag_vectors)
    margins = 1 - unit_tags @ unit_tags.T
    counts = present.sum(1)
    pairs = (counts * (present.shape[1] - counts)).sum()
    loss = vectors.new_zeros(())
    for rows in torch.arange(len(vectors)).split(SLICE):
        cosines = functional.normalize(vectors[rows]) @ unit_tags.T
        mask = present[rows].float()
        apart = margins - (cosines[:, :, None] - cosines[:, None, :])
        part = torch.clamp(apart * mask[:, :, None] * (1 - mask)[:, None, :], min=0).sum() / pairs
        part.backward()
        loss += part.detach()
    gradient = vectors.grad
    assert gradient is not None
    vectors.grad = None
    return loss, gradient


def ours(
    vectors: Tensor, tag_vectors: Tensor, pairs: TagPairs, margins: Tensor, negatives: str = "all"
) -> tuple[Tensor, Tensor]:
    loss = adaptive_margin(vectors, tag_vectors, pairs, margins, negatives=negatives)  # type: ignore[arg-type]
    return loss.detach(), torch.autograd.grad(loss, vectors)[0]


def inputs(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return photos, tag vectors and present tags; some tags are far more usual than others."""
    draw = torch.Generator().manual_seed(0)
    common = torch.randn(1, DIM, generator=draw)  # word vectors share a direction
    tag_vectors = torch.randn(TAGS, DIM, generator=draw) + common
    usual = 1 / torch.arange(1, TAGS + 1, dtype=torch.float64)
    chances = (PHOTOS * TAGS_A_PHOTO * usual / usual.sum() / PHOTOS).clamp(max=0.5)
    present = torch.rand(PHOTOS, TAGS, generator=draw) < chances
    present[torch.arange(PHOTOS), torch.randint(TAGS, (PHOTOS,), generator=draw)] = True
    vectors = torch.randn(PHOTOS, DIM, generator=draw) + common
    return vectors.to(device).requires_grad_(), tag_vectors.to(device), present.to(device)


def timed(work: Callable[[], object], device: str) -> tuple[float, float]:
    """Return the seconds of the clock, and those of the processor (on a GPU the clock again)."""
    synchronise(device)
    start, begun = time.perf_counter(), time.process_time()
    work()
    synchronise(device)
    clock, processor = time.perf_counter() - start, time.process_time() - begun
    return clock, clock if device == "cuda" else processor


def fastest(work: Callable[[], object], device: str, rounds: int) -> tuple[float, float]:
    """Return the least of both over the rounds, after one for whatever is done once."""
    times = [timed(work, device) for _ in range(rounds + 1)][1:]
    return min(clock for clock, _ in times), min(processor for _, processor in times)


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def loss(options: argparse.Namespace) -> None:
    """Compare the losses, and show them with their floors."""
    vectors, tag_vectors, present = inputs(options.device)
    pairs, margins = TagPairs(*present.nonzero(as_tuple=True)), tag_margins(tag_vectors)

    def cosines() -> None:
        unit = functional.normalize(vectors.detach())
        table = unit @ functional.normalize(tag_vectors).T
        table @ tag_vectors

    size = f"{PHOTOS} photos, {len(pairs.tags):,} of their tags, {TAGS:,} tags of {DIM} numbers"
    print(f"{size}, forward and backward, {options.device}, {torch.get_num_threads()} threads")
    rounds, device = options.rounds, options.device
    times = {
        "published": fastest(lambda: published(vectors, tag_vectors, present), device, max(rounds // 20, 1)),
        "perisphere": fastest(lambda: ours(vectors, tag_vectors, pairs, margins), device, rounds),
        "hard negatives": fastest(lambda: ours(vectors, tag_vectors, pairs, margins, "hard"), device, rounds),
        "cosines alone": fastest(cosines, device, rounds),
        "margins alone": fastest(lambda: margins[pairs.tags], device, rounds),
    }
    for name, (clock, processor) in times.items():
        print(f"  {name:<16} {clock * 1e3:10.3f} ms ({processor * 1e3:.3f} of the processor)")
    faster = min(theirs / own for theirs, own in zip(times["published"], times["perisphere"], strict=True))
    print(f"  times as fast {faster:.1f}, at least {TIMES_AS_FAST}: {word(faster >= TIMES_AS_FAST)}")
    both = zip(
        published(vectors, tag_vectors, present), ours(vectors, tag_vectors, pairs, margins), strict=True
    )
    apart = max(float((one - other).abs().max() / one.abs().max()) for one, other in both)
    print(f"  loss and gradient apart by {apart:.1g}, at most {MOST_APART}: {word(apart <= MOST_APART)}")


def word(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("loss",))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loss(options)


if __name__ == "__main__":
    main()
