"""Time and memory of learning by centroids, beside a loop over the instances and beside plain triplets.

    python benchmarks/centroid.py loss [--device cuda]   # 16 identities x 4 photos, 2,048 dimensions
    python benchmarks/centroid.py step [--device cuda]   # a step of ResNet-50 with and without the centroids

``loss``: the centroid triplet loss forward and backward. The loop re-expresses the published algorithm: masks
are filled in Python from the labels of the batch, every mask is laid over the whole batch, and the instances
are gone through one by one. Both must give the same loss, gradient and watched figures. Floors beside them:
the inner products of the batch with their gradient, which is all the arithmetic that grows with the
dimensions, and reading the features and writing as many bytes once.

``step``: forward, backward and Adam of the whole method, without its centroid term (plain triplets) and with
it; each in a process of its own for its memory (resident, or the GPU's). The term's own time stands beside
them, since the difference of two steps is within the noise of one. Processor time stands beside the time of a
clock: on a busy machine only the former says anything.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from peak import Peak
from perisphere.losses import CentroidTriplet, centroid_triplet

IDENTITIES, INSTANCES, DIM = 16, 4, 2048
MARGIN = 0.5
TIMES_AS_FAST = 5
MOST_OF_A_STEP = 0.05
MOST_APART = 1e-5


def looped(vectors: Tensor, labels: Tensor, real: Tensor) -> CentroidTriplet:
    """Compute the loss, and what is watched, with Python masks and a loop over the instances."""
    rows_of: dict[int, list[int]] = {}
    for row, label in enumerate(labels.tolist()):
        rows_of.setdefault(label, []).append(row)
    gallery = torch.ones(INSTANCES, len(vectors), dtype=torch.bool)
    for number in range(INSTANCES):
        for rows in rows_of.values():
            gallery[number, rows[number]] = False
    gallery = gallery.to(vectors.device)
    asks = real.view(-1, INSTANCES).T.repeat_interleave(INSTANCES, 1) & real
    kept = gallery & asks
    spread = kept.float().unsqueeze(-1) * vectors.unsqueeze(0)
    shape = (INSTANCES, len(rows_of), INSTANCES)
    counts = kept.view(shape).sum(-1)
    centroids = spread.view(*shape, -1).sum(2) / counts.clamp(min=1).unsqueeze(-1)
    found = []
    for number in range(INSTANCES):
        if (counts[number] > 0).sum() < 2:
            continue
        chosen = ~gallery[number] & asks[number]
        there = centroids[number][centroids[number].abs().sum(1) > 1e-7]
        points = torch.cat([vectors[chosen], there])
        names = torch.cat([labels[chosen], labels[chosen]])
        found.append((*_mined(points, names), there.detach().norm(dim=1).mean()))
    return CentroidTriplet(*(torch.stack(values).mean() for values in zip(*found, strict=True)))


def _mined(points: Tensor, names: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean triplet loss over the hardest pairs of every point, and their mean distances."""
    squares = (points**2).sum(1)
    apart = (squares[:, None] + squares - 2 * points @ points.T).clamp(min=1e-12).sqrt()
    same = names[:, None] == names
    farthest = apart[same].view(len(points), -1).max(1).values
    nearest = apart[~same].view(len(points), -1).min(1).values
    ones = torch.ones_like(nearest)
    loss = torch.nn.functional.margin_ranking_loss(nearest, farthest, ones, margin=MARGIN)
    return loss, farthest.detach().mean(), nearest.detach().mean()


def ours(vectors: Tensor, labels: Tensor, real: Tensor) -> CentroidTriplet:
    return centroid_triplet(vectors, labels, real, INSTANCES, margin=MARGIN)


def inputs(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return features, labels, and which are real: three of the last identity."""
    draw = torch.Generator().manual_seed(0)
    centers = torch.randn(IDENTITIES, 1, DIM, generator=draw)
    noise = torch.randn(IDENTITIES, INSTANCES, DIM, generator=draw)
    vectors = (centers + 2 * noise).flatten(0, 1).to(device).requires_grad_()
    labels = torch.arange(IDENTITIES).repeat_interleave(INSTANCES).to(device)
    real = torch.ones(len(labels), dtype=torch.bool, device=device)
    real[-1] = False
    return vectors, labels, real


def timed(work: Callable[[], object], device: str) -> tuple[float, float]:
    """Return the seconds of the clock, and those of the processor (on a GPU the clock again)."""
    synchronise(device)
    start, begun = time.perf_counter(), time.process_time()
    work()
    synchronise(device)
    clock, processor = time.perf_counter() - start, time.process_time() - begun
    return clock, clock if device == "cuda" else processor


def fastest(work: Callable[[], object], device: str, rounds: int, first: int = 5) -> tuple[float, float]:
    """Return the least of both over the rounds, after some for whatever is done once."""
    times = [timed(work, device) for _ in range(rounds + first)][first:]
    return min(clock for clock, _ in times), min(processor for _, processor in times)


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def loss(options: argparse.Namespace) -> None:
    """Compare the losses, and show them with their floors."""
    vectors, labels, real = inputs(options.device)

    def gradient(of: Callable[[Tensor, Tensor, Tensor], CentroidTriplet]) -> tuple[Tensor, ...]:
        loss, *watched = of(vectors, labels, real)
        return loss.detach(), *watched, torch.autograd.grad(loss, vectors)[0]

    def products() -> None:
        fixed = vectors.detach()
        (fixed @ fixed.T) @ fixed

    places = f"{IDENTITIES} identities x {INSTANCES} photos x {DIM:,} dimensions, forward and backward"
    print(f"{places}, {options.device}, {torch.get_num_threads()} threads, fastest of {options.rounds}")
    times = {
        "loop": fastest(lambda: gradient(looped), options.device, options.rounds),
        "perisphere": fastest(lambda: gradient(ours), options.device, options.rounds),
        "products alone": fastest(products, options.device, options.rounds),
        "bytes alone": fastest(lambda: vectors.detach().clone(), options.device, options.rounds),
    }
    for name, (clock, processor) in times.items():
        print(f"  {name:<16} {clock * 1e3:9.3f} ms ({processor * 1e3:.3f} of the processor)")
    faster = min(theirs / own for theirs, own in zip(times["loop"], times["perisphere"], strict=True))
    print(f"  times as fast {faster:.1f}, at least {TIMES_AS_FAST}: {word(faster >= TIMES_AS_FAST)}")
    pairs = zip(gradient(looped), gradient(ours), strict=True)
    apart = max(float(((one - other).abs() / (1 + one.abs())).max()) for one, other in pairs)
    print(f"  values and gradients apart by {apart:.1g}, at most {MOST_APART}: {word(apart <= MOST_APART)}")


def contender(options: argparse.Namespace) -> dict[str, float]:
    """Time the steps of one method, and watch its memory."""
    from perisphere.methods import Centroid, CentroidHead, CentroidTerms
    from perisphere.nets import NetSpec, build

    terms = CentroidTerms(centroid=float(options.contender == "centroid"))
    net = build(NetSpec(backbone="resnet50", last_stride=1, bnneck=True), seed=0)
    head = CentroidHead(net.dim, 751, terms)
    module = Centroid(net, head, terms, prepare=None, optimise=None, label_smoothing=0.1)  # type: ignore[arg-type]
    module.to(options.device).train()
    adam = torch.optim.Adam(module.parameters(), 3.5e-4, weight_decay=5e-4)
    _, labels, real = inputs(options.device)
    images = torch.randn(len(labels), 3, 256, 128, device=options.device)

    def step() -> None:
        with torch.autocast(options.device, torch.bfloat16, enabled=options.mixed):
            figures = module.learn(module.features(images, real), labels, real)
        adam.zero_grad()
        figures["loss"].backward()
        adam.step()

    with Peak() as peak:
        clock, processor = fastest(step, options.device, options.steps, first=1)
    gpu = torch.cuda.max_memory_allocated() / 2**30 if options.device == "cuda" else 0.0
    return {"clock": clock, "processor": processor, "peak_gib": gpu or peak.gib}


def step(options: argparse.Namespace) -> None:
    """Compare whole steps with and without the term."""
    words = [sys.executable, str(Path(__file__)), "step", "--device", options.device]
    words += ["--steps", str(options.steps), "--threads", str(options.threads)]
    words += ["--mixed"] if options.mixed else []
    found = {}
    for name in ("plain", "centroid"):
        done = subprocess.run([*words, "--contender", name], stdout=subprocess.PIPE, text=True, check=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
    vectors, labels, real = inputs(options.device)
    clock, processor = fastest(
        lambda: torch.autograd.grad(ours(vectors, labels, real).loss, vectors), options.device, options.rounds
    )
    kind = "bfloat16 mixed" if options.mixed else "float32"
    places = f"{len(labels)} photos of 256 x 128, {kind}, {options.device}, {torch.get_num_threads()} threads"
    print(f"A step of ResNet-50: {places}, fastest of {options.steps}")
    for name, figures in found.items():
        times = f"{figures['clock'] * 1e3:9.1f} ms ({figures['processor'] * 1e3:.1f} of the processor)"
        print(f"  {name:<16} {times}, {figures['peak_gib']:.2f} GiB")
    share = processor / found["plain"]["processor"]
    print(f"  the term alone   {clock * 1e3:9.3f} ms ({processor * 1e3:.3f} of the processor)")
    print(f"  share of a step {share:.3%}, at most {MOST_OF_A_STEP:.0%}: {word(share <= MOST_OF_A_STEP)}")


def word(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("loss", "step"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=100, help="of the loss")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--mixed", action="store_true", help="steps in bfloat16 where that is safe")
    parser.add_argument("--contender", choices=("plain", "centroid"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.contender:
        print(json.dumps(contender(options)))
    else:
        {"loss": loss, "step": step}[options.what](options)


if __name__ == "__main__":
    main()
