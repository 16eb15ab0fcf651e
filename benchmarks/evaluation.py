"""Full-ranking mAP and CMC: time beside the matrix product, memory beyond the inputs, other libraries.

    python benchmarks/evaluation.py                                   # both sizes of the targets
    python benchmarks/evaluation.py --queries 3368 --gallery 15913 --dim 2048 --others

Each contender runs in a process of its own, so that one's memory is not counted for another. The matrix
product (the same blocks, by NumPy and by torch) and the ranking take turns within one process, and the ratio
is that of their medians. Other libraries (``pip install open-metric-learning pytorch-metric-learning``) run
only where installed.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from peak import Peak

SIZES = ((3368, 15913, 2048), (10_000, 100_000, 512))
MOST = {"ratio_numpy": 1.5, "peak_gib": 0.5}
RELEVANT = 20
CONTENDERS = ("perisphere", "pytorch-metric-learning", "open-metric-learning")
MODULES = {"pytorch-metric-learning": "pytorch_metric_learning", "open-metric-learning": "oml"}


def inputs(q: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Random unit rows: the hardest case, for relevant images are spread over the whole ranking."""
    rng = np.random.default_rng(0)
    rows = []
    for count in (q, n):
        vectors = rng.standard_normal((count, d), dtype=np.float32)
        for start in range(0, count, 4096):  # in blocks, so that making the inputs sets no memory record
            block = vectors[start : start + 4096]
            block /= np.linalg.norm(block, axis=1, keepdims=True)
        rows.append(vectors)
    labels = rng.integers(0, max(1, n // RELEVANT), n)
    return rows[0], rows[1], labels[rng.integers(0, n, q)], labels


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def perisphere(q: int, n: int, d: int, rounds: int) -> dict:
    import torch

    from perisphere.evaluation import matching, rank_blocks
    from perisphere.metrics.ranks import BLOCK_BYTES
    from perisphere.metrics.retrieval import average_precision, cmc

    queries, gallery, asked, labels = inputs(q, n, d)
    relevant = matching(asked.tolist(), labels.tolist())
    average: list[float] = []

    def rank() -> None:
        parts = [(average_precision(r), cmc(r, 50)) for r in rank_blocks(queries, gallery, relevant)]
        average[:] = [float(np.nanmean(np.concatenate([ap for ap, _ in parts])))]

    block = min(q, max(1, BLOCK_BYTES // (8 * n)))
    with Peak() as peak:
        rank()
    out = np.empty((block, n), np.float32)

    def numpy_product() -> None:
        for start in range(0, q, block):
            part = queries[start : start + block]
            np.matmul(part, gallery.T, out=out[: len(part)])

    def torch_product() -> None:
        side = torch.from_numpy(gallery).T
        for start in range(0, q, block):
            part = torch.from_numpy(queries[start : start + block])
            torch.mm(part, side, out=torch.from_numpy(out[: len(part)]))

    numpy_product()
    torch_product()
    works = {"seconds": rank, "numpy_product": numpy_product, "torch_product": torch_product}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        **medians,
        "ratio_numpy": medians["seconds"] / medians["numpy_product"],
        "ratio_torch": medians["seconds"] / medians["torch_product"],
        "gflops_of_product": 2e-9 * q * n * d / medians["numpy_product"],
        "peak_gib": peak.gib,
        "mAP": average[0],
        "threads": torch.get_num_threads(),
    }


def pytorch_metric_learning(q: int, n: int, d: int, rounds: int) -> dict:
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    queries, gallery, asked, labels = map(torch.from_numpy, inputs(q, n, d))
    judge = AccuracyCalculator(include=("mean_average_precision",), k=n, device=torch.device("cpu"))
    found = {}
    with Peak() as peak:
        took = seconds(lambda: found.update(judge.get_accuracy(queries, asked, gallery, labels)))
    return {"seconds": took, "peak_gib": peak.gib, "mAP": float(found["mean_average_precision"])}


def open_metric_learning(q: int, n: int, d: int, rounds: int) -> dict:
    import torch
    from oml.functional.knn import batched_knn_qg
    from oml.functional.metrics import calc_retrieval_metrics

    queries, gallery, asked, labels = map(torch.from_numpy, inputs(q, n, d))
    found = {}

    def judge() -> None:
        _, ids, truth = batched_knn_qg(queries, gallery, n, asked, labels)
        found.update(calc_retrieval_metrics(ids, truth, None, (1, 5, 10), (), (n,), verbose=False))

    with Peak() as peak:
        took = seconds(judge)
    return {"seconds": took, "peak_gib": peak.gib, "mAP": float(found["map"][n])}


def run(contender: str, size: tuple[int, int, int], rounds: int) -> dict:
    """Run one contender in a process of its own."""
    if contender in MODULES and importlib.util.find_spec(MODULES[contender]) is None:
        return {"not installed": f"pip install {contender}"}
    words = [sys.executable, __file__, "--contender", contender, "--rounds", str(rounds)]
    for name, value in zip(("queries", "gallery", "dim"), size, strict=True):
        words += [f"--{name}", str(value)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--gallery", type=int, default=15913)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--others", action="store_true", help="run the other libraries too")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = [(options.queries, options.gallery, options.dim)] if options.queries else SIZES
    if options.contender:
        work = globals()[options.contender.replace("-", "_")]
        print(json.dumps(work(*sizes[0], options.rounds)))
        return
    for size in sizes:
        print("{:,} queries x {:,} gallery rows x {:,} dimensions".format(*size))
        for contender in CONTENDERS if options.others else CONTENDERS[:1]:
            found = run(contender, size, options.rounds)
            shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in found.items()}
            print(f"  {contender:24s}", ", ".join(f"{name} {value}" for name, value in shown.items()))
            for name, most in MOST.items() if contender == CONTENDERS[0] else ():
                print(f"  {name} at most {most}: {'reached' if found[name] <= most else 'MISSED'}")


if __name__ == "__main__":
    main()
