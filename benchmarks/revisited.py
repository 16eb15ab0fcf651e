"""``evaluate revisited`` with a million distractors: time and memory, measured on some and extrapolated.

    python benchmarks/revisited.py                      # 70 queries, 50,000 rows of 2,048 numbers in float16
    python benchmarks/revisited.py --rows 200000        # measure more of the million

Writes random unit rows as an embeddings folder of float16 and a ground truth of ROxford's size for them, runs
``perisphere evaluate revisited`` in a process of its own, and prints its time and its highest memory.
Both grow with the rows (memory by the catalog's rows, for the vectors pass by in blocks), so those of
1,006,322 rows (RParis6k with its million distractors) follow from the slope between half and all of the rows
that were measured. Random rows are the hard case: right and wrong images score alike.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil

QUERIES, FULL = 70, 1_006_322
LISTED = {"easy": 40, "hard": 60, "junk": 50}
"""Images of a query in each list, about as many as in ROxford5k."""

NAMED = 4_993


def write(folder: Path, queries: int, rows: int, dim: int) -> None:
    """Write ``vectors.npy`` (float16), its rows and description, and the ground truth ``gnd.json``."""
    rng = np.random.default_rng(0)
    names = [f"q{n}" for n in range(queries)] + [f"g{n}" for n in range(rows)]
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float16, (queries + rows, dim))
    for start in range(0, len(vectors), 4096):
        block = rng.standard_normal((min(4096, len(vectors) - start), dim), dtype=np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        vectors[start : start + len(block)] = block
    vectors.flush()
    splits = ["query"] * queries + ["index"] * rows
    table = {"id": range(len(names)), "path": [f"{name}.jpg" for name in names], "split": splits}
    frame = pl.DataFrame(table).with_columns(pl.lit(None, pl.String).alias("label"))
    frame.write_parquet(folder / "rows.parquet")
    described = {"format": 1, "rows": len(names), "dim": dim, "root": str(folder), "skipped": []}
    described |= {"encoder": {"name": "random", "dim": dim}, "run": {}}
    (folder / "embeddings.json").write_text(json.dumps(described))
    known = min(NAMED, rows)
    truth = []
    for _ in range(queries):
        drawn = rng.choice(known, sum(LISTED.values()), replace=False).tolist()
        ends = np.cumsum(list(LISTED.values()))[:-1]
        parts = (part.tolist() for part in np.split(np.array(drawn), ends))
        truth.append(dict(zip(LISTED, parts, strict=True)))
    gnd = {"imlist": names[queries : queries + known], "qimlist": names[:queries], "gnd": truth}
    (folder / "gnd.json").write_text(json.dumps(gnd))


def measure(folder: Path) -> dict[str, float]:
    """Run the command on a folder; seconds and GiB."""
    words = ["evaluate", "revisited", str(folder), "--truth", str(folder / "gnd.json"), "--json"]
    start = time.perf_counter()
    done = subprocess.Popen([sys.executable, "-m", "perisphere", *words], stdout=subprocess.DEVNULL)
    process, highest = psutil.Process(done.pid), 0
    while done.poll() is None:
        with contextlib.suppress(psutil.Error):
            highest = max(highest, process.memory_info().rss)
        time.sleep(0.01)
    if done.returncode:
        raise SystemExit("the command failed")
    return {"seconds": time.perf_counter() - start, "gib": highest / 2**30}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument(
        "--folder", type=Path, help="where the vectors are written (default: a temporary one)"
    )
    options = parser.parse_args()
    found = {}
    for rows in (options.rows // 2, options.rows):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            write(Path(name), options.queries, rows, options.dim)
            found[rows] = measure(Path(name))
        shown = ", ".join(f"{key} {value:.2f}" for key, value in found[rows].items())
        print(f"{options.queries} queries x {rows:,} rows x {options.dim:,} in float16: {shown}")
    half, whole = found.values()
    more = (FULL - options.rows) / (options.rows - options.rows // 2)
    full = {key: value + more * (value - half[key]) for key, value in whole.items()}
    took, gib = (f"{value:.3g}" for value in full.values())
    print(f"extrapolated, not measured: {FULL:,} rows take {took} seconds and {gib} GiB")


if __name__ == "__main__":
    main()
