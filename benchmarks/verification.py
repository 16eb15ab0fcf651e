"""How many of the matches that geometric verification keeps are true, where the truth is known.

    python benchmarks/verification.py homographies FOLDER     # FOLDER/NAME/1.jpg .. 6.jpg, H_1_2 .. H_1_6
    python benchmarks/verification.py cameras ROOT --pairs 50 # ROOT/cameras.json, ROOT/correspondences.csv

Homographies: sequences as HPatches has them; a match is true where it lies within 3 pixels of where the true
homography moves it. Cameras: ``K``, ``R`` and ``t`` of each photo, and listed correspondences that say which
photos see the same; a match is true where it lies within 3 pixels of the true epipolar line. Printed for
each pair or model: inliers kept, and the share of true ones among them and among all tentative matches.
"""

import argparse
import csv
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np

from perisphere.search.rerank.geometric import GeometricVerification

PIXELS = 3.0


def homographies(folder: Path, pairs: int) -> None:
    verification = GeometricVerification()
    print("sequence and view: inliers, true among them, true among all tentative matches")
    for truth_file in sorted(folder.glob("*/H_1_*"))[:pairs]:
        view = truth_file.name.rsplit("_", 1)[1]
        match = verification.match(truth_file.parent / "1.jpg", truth_file.parent / f"{view}.jpg")
        truth = np.loadtxt(io.StringIO(truth_file.read_text()))
        moved = np.column_stack([match.first, np.ones(len(match.first))]) @ truth.T
        true = np.linalg.norm(moved[:, :2] / moved[:, 2:] - match.second, axis=1) < PIXELS
        print(
            f"  {truth_file.parent.name} {view}: {match.count}, {true[match.inliers].mean():.3f}, "
            f"{true.mean():.3f}"
        )


def cameras(root: Path, pairs: int) -> None:
    known = json.loads((root / "cameras.json").read_text())
    with (root / "correspondences.csv").open() as file:
        seen = Counter((row["image1"], row["image2"]) for row in csv.DictReader(file))
    enough = [pair for pair, count in sorted(seen.items()) if count >= 30 and set(pair) <= set(known)]
    chosen = enough[:: max(1, -(-len(enough) // pairs))]
    for model in ("homography", "fundamental"):
        verification = GeometricVerification(model=model)
        kept, before = [], []
        for first, second in chosen:
            match = verification.match(root / first, root / second)
            true = off_line(match.first, match.second, known[first], known[second]) < PIXELS
            if match.count:
                kept.append(true[match.inliers].mean())
                before.append(true.mean())
        low, middle = np.min(kept), np.median(kept)
        print(
            f"{model}, {len(kept)} of {len(chosen)} pairs verified: true among the inliers {middle:.3f} "
            f"(median; least {low:.3f}), among all tentative matches {np.median(before):.3f}"
        )


def off_line(first: np.ndarray, second: np.ndarray, one: dict, other: dict) -> np.ndarray:
    """Distance in pixels of each second point from the line that the first point draws there."""
    k1, r1, t1, k2, r2, t2 = (np.array(side[key], float) for side in (one, other) for key in ("K", "R", "t"))
    rotation = r2 @ r1.T
    x, y, z = t2.ravel() - rotation @ t1.ravel()
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    fundamental = np.linalg.inv(k2).T @ cross @ rotation @ np.linalg.inv(k1)
    lines = np.column_stack([first, np.ones(len(first))]) @ fundamental.T
    ends = np.column_stack([second, np.ones(len(second))])
    return np.abs((lines * ends).sum(1)) / np.linalg.norm(lines[:, :2], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["homographies", "cameras"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=50)
    options = parser.parse_args()
    {"homographies": homographies, "cameras": cameras}[options.what](options.folder, options.pairs)


if __name__ == "__main__":
    main()
