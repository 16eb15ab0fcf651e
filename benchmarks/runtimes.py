"""Runtimes: how fast each runs a network on this processor, and what 8 bits cost in mAP.

`speed` builds ResNet-50 with random weights, exports it to OpenVINO and ONNX Runtime in float32 and as int8
(calibrated with drawn photos), and times each on one batch that is ready in memory, as embedding runs it. All
take turns, so that whatever else the machine does falls on all. The ratio is to the faster of torch's two
float32 roads: plain memory layout with the whole batch at once, and channels last in slices, as embedding
does it. bfloat16 is timed where the processor has it in hardware.

`loss` exports an encoder as int8 for both runtimes, calibrated with some photos of a labelled catalog, and
measures leave-one-out mAP of others by torch's float32 and by int8.

    python benchmarks/runtimes.py speed                        ResNet-50 at 224, batches of 16, 5 rounds
    python benchmarks/runtimes.py speed --backbone mobilenet_v2 --batch 8
    python benchmarks/runtimes.py loss --encoder E --catalog C --measure 2000
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

import numpy as np
import torch
from PIL import Image

from perisphere.catalog import Catalog
from perisphere.catalog.readers import read
from perisphere.catalog.scenes import take_photo
from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.inference import has_bfloat16
from perisphere.encoder.runtimes.export import export
from perisphere.encoder.runtimes.names import ENGINES
from perisphere.encoder.runtimes.quantise import quantise
from perisphere.nets import NetSpec, build, input_spec

FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Of a processor, as Linux names them, that decide on the speed of narrow numbers."""

Forward = Callable[[torch.Tensor], torch.Tensor]


def processor() -> dict[str, Any]:
    """Return the processor's name, its features and the cores that may be used."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {name.strip(): value.strip() for name, value in facts.items()}
    flags = set(named.get("flags", named.get("Features", "")).split())
    return {
        "processor": named.get("model name", "unknown"),
        "features": [name for name in FEATURES if name in flags],
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
    }


def draw_photos(folder: Path, count: int) -> Catalog:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(take_photo(3, number % 8, number, size=128).pixels).save(folder / f"{number}.png")
    return read("folders", folder)


def roads(work: Path, options: argparse.Namespace) -> tuple[dict[str, Forward], torch.Tensor]:
    """Return what runs the network, by name, and the batch that it is given."""
    preprocessing = Preprocessing.for_architecture(input_spec(options.backbone), size=options.size)
    encoder = Encoder(build(NetSpec(backbone=options.backbone), seed=0), preprocessing, name="random")
    encoder.save(work / "encoder")
    photos = draw_photos(work / "photos", max(2 * options.calibration, options.batch))  # half calibrates
    plain = encoder.net.eval().requires_grad_(False)

    @torch.inference_mode()
    def contiguous(images: torch.Tensor) -> torch.Tensor:
        return plain(images.contiguous())

    precisions = ["float32", *(["bfloat16"] if has_bfloat16(torch.device("cpu")) else [])]
    found: dict[str, Forward] = {"torch float32, plain layout": contiguous}
    inference = encoder.inference(device="cpu", precision="float32")
    found |= {
        f"torch {precision}": encoder.inference(device="cpu", precision=precision).forward
        for precision in precisions
    }
    for engine in ENGINES:
        export(encoder, engine)
        for precision in precisions if engine == "openvino" else ["float32"]:
            ready = encoder.inference(device="cpu", runtime=engine, precision=precision)
            found[f"{engine} {precision}"] = ready.forward
        quantise(encoder, engine, photos, images=options.calibration, named="drawn")
        found[f"{engine} int8"] = encoder.inference(device="cpu", runtime=engine, int8=True).forward
    pixels = np.stack(
        [
            inference.preprocessing(np.asarray(Image.open(path).convert("RGB")))
            for path in photos.paths()[: options.batch]
        ]
    )
    return found, inference.ready(pixels)


def rate(forward: Forward, images: torch.Tensor, seconds: float) -> float:
    """Return images a second."""
    done, begun = 0, time.perf_counter()
    while True:
        forward(images)
        done += len(images)
        passed = time.perf_counter() - begun
        if passed >= seconds:
            return done / passed


def speed(options: argparse.Namespace) -> dict[str, Any]:
    about = processor()
    print(
        f"{about['processor']}, {', '.join(about['features']) or 'none of ' + ', '.join(FEATURES)}; "
        f"{about['cores']} cores, {about['threads']} threads"
    )
    with tempfile.TemporaryDirectory() as folder:
        ways, images = roads(Path(folder), options)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for forward in ways.values():
            forward(images)
        for _ in range(options.rounds):
            for name, forward in ways.items():
                rates[name].append(rate(forward, images, options.seconds))
    figures = {name: statistics.median(values) for name, values in rates.items()}
    base = max(figures["torch float32"], figures["torch float32, plain layout"])
    print(
        f"{options.backbone} at {options.size}, batches of {options.batch}: median of {options.rounds} rounds"
    )
    for name, value in figures.items():
        spread = f"{min(rates[name]):.1f} to {max(rates[name]):.1f}"
        print(f"  {name:28} {value:8.1f} images/s ({spread}), {value / base:.2f} x torch float32")
    return {**about, "images_per_second": figures, "ratio": {name: v / base for name, v in figures.items()}}


def loss(options: argparse.Namespace) -> dict[str, Any]:
    encoder = Encoder.load(options.encoder)
    catalog = Catalog.load(options.catalog)
    told = {}
    with tempfile.TemporaryDirectory() as folder:
        encoder.save(Path(folder) / "encoder")
        for engine in ENGINES:
            made = quantise(
                encoder,
                engine,
                catalog,
                images=options.calibration,
                measured=options.measure,
                seed=options.seed,
                named=options.catalog.name,
            ).manifest
            assert made.int8 is not None
            told[engine] = made.told()
            exact, quantised = made.int8.map_float32, made.int8.map_int8
            assert exact is not None
            assert quantised is not None
            print(
                f"{engine}: mAP of {made.int8.measured:,} photos {exact:.4f} in float32, {quantised:.4f} "
                f"in int8 ({quantised - exact:+.4f}); mean cosine {made.agreement.mean_cosine:.4f}, "
                f"least {made.agreement.cosine:.4f}; calibrated with {made.int8.calibration}"
            )
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("speed")
    one.add_argument("--backbone", default="resnet50")
    one.add_argument("--size", type=int, default=224)
    one.add_argument("--batch", type=int, default=16)
    one.add_argument("--rounds", type=int, default=5)
    one.add_argument("--seconds", type=float, default=4.0, help="of a way in a round")
    one.set_defaults(run=speed)
    other = verbs.add_parser("loss")
    other.add_argument("--encoder", type=Path, required=True)
    other.add_argument("--catalog", type=Path, required=True)
    other.add_argument("--measure", type=int, default=2000)
    other.add_argument("--seed", type=int, default=0)
    other.set_defaults(run=loss)
    for verb in (one, other):
        verb.add_argument("--calibration", type=int, default=64 if verb is one else 300)
        verb.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    report = options.run(options)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
