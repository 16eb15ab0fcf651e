"""`perisphere embed` end to end against the network's forward pass alone.

ResNet-50 at 224 x 224 with random weights on JPEG photos of 500 x 375 pixels that this program draws. Both
sides use the same batch size, precision and memory layout, and take turns, so that whatever else the machine
does falls on both. End to end is everything after the imports: opening the catalog and the encoder, decoding,
resizing, normalising, the network, the vectors synced to the disk. Forward alone runs on one batch that is
ready in memory, in the slices that embedding uses on a processor; the network on the whole batch at once is
measured too and printed, and the ratio is to the faster of the two.

    python benchmarks/embed.py                      400 photos, 3 rounds
    python benchmarks/embed.py --images 96 --rounds 2
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import torch

from perisphere.catalog import Catalog
from perisphere.encoder import Encoder, Inference, Preprocessing, embed
from perisphere.encoder.loading import batches
from perisphere.nets import NetSpec, build, input_spec

TARGET = 0.85
Forward = Callable[[torch.Tensor], torch.Tensor]


def draw_photos(folder: Path, count: int) -> Catalog:
    """Write photos of soft shapes and sensor noise, about 90 KB each as cameras and the web have them."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        coarse = rng.integers(0, 256, (18, 24, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC)
        for _ in range(12):
            corners = rng.integers(0, (500, 375), (4, 2))
            cv2.fillConvexPoly(image, cv2.convexHull(corners), rng.integers(0, 256, 3).tolist())
        noisy = image + rng.normal(0, 6, image.shape)
        cv2.imwrite(str(folder / f"{number:04}.jpg"), np.clip(noisy, 0, 255).astype(np.uint8))
    table = pl.DataFrame({"path": [f"{number:04}.jpg" for number in range(count)]})
    return Catalog(table, folder)


def forward_alone(inference: Inference, forward: Forward, catalog: Catalog, batch_size: int) -> float:
    """Return images/s of ``forward`` on one ready batch, over as many images as the catalog has."""
    first = next(batches(catalog.paths()[:batch_size], inference.preprocessing, batch_size=batch_size))
    ready = inference.ready(first.pictures)
    steps = max(1, len(catalog) // batch_size)
    begun = time.perf_counter()
    with torch.inference_mode():
        for _ in range(steps):
            forward(ready)
    if inference.device.type == "cuda":
        torch.cuda.synchronize()
    return steps * len(ready) / (time.perf_counter() - begun)


def end_to_end(work: Path, images: int, batch_size: int, workers: int) -> tuple[float, float]:
    """Return images/s of the whole command, and the share of its loop that the network took."""
    begun = time.perf_counter()
    result = embed(
        Catalog.load(work / "catalog"),
        Encoder.load(work / "encoder"),
        work / "vectors",
        batch_size=batch_size,
        workers=workers,
        overwrite=True,
    )
    return images / (time.perf_counter() - begun), result.run["network_share"]


def measure(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    catalog = draw_photos(work / "photos", options.images)
    catalog.save(work / "catalog")
    preprocessing = Preprocessing.for_architecture(input_spec("resnet50"))
    encoder = Encoder(build(NetSpec(backbone="resnet50"), seed=0), preprocessing, name="random")
    encoder.save(work / "encoder")
    inference = encoder.inference()

    def whole_batch(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(inference.device.type, torch.bfloat16, inference.dtype == torch.bfloat16):
            return inference.net(images)

    def alone(forward: Forward) -> float:
        return forward_alone(inference, forward, catalog, options.batch_size)

    alone(inference.forward)  # warm
    rounds = []
    for number in range(options.rounds):
        sliced = alone(inference.forward)
        rate, share = end_to_end(work, options.images, options.batch_size, options.workers)
        sliced = 2 / (1 / sliced + 1 / alone(inference.forward))
        at_once = alone(whole_batch)
        ratio = rate / max(sliced, at_once)
        rounds.append(
            {
                "forward": sliced,
                "forward_whole_batch": at_once,
                "embed": rate,
                "ratio": ratio,
                "network_share": share,
            }
        )
        print(
            f"round {number + 1}: forward alone {sliced:.2f} images/s (whole batch at once {at_once:.2f}), "
            f"embed {rate:.2f}, ratio {ratio:.3f}, {share:.0%} of the loop in the network",
            flush=True,
        )
    return {
        "images": options.images,
        "batch_size": options.batch_size,
        "device": str(inference.device),
        "precision": str(inference.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)),
        "rounds": rounds,
        "ratio": statistics.median(one["ratio"] for one in rounds),
        "target": TARGET,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=0, help="decoding threads; 0: one a core")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        report = measure(Path(work), options)
    verdict = "reached" if report["ratio"] >= TARGET else "MISSED"
    print(f"median ratio {report['ratio']:.3f}; target {TARGET}: {verdict}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
