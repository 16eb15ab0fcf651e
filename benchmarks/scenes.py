"""Images a second of the generated collection: ``python benchmarks/scenes.py [--landmarks 40]``.

The aim is 2,000 images of 128 x 128, truth included, in two minutes on two cores.
"""

import argparse
import json
import os
import resource
import tempfile
from pathlib import Path

from perisphere.catalog.scenes import write_scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in {"landmarks": 40, "photos": 50, "size": 128, "workers": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as folder:
        summary = write_scenes(Path(folder) / "world", **options)
    load = os.getloadavg()[0]
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    rate = summary.photos / summary.seconds
    print(
        json.dumps(
            {
                "images": summary.photos,
                "size": summary.size,
                "workers": options["workers"],
                "cores": os.cpu_count(),
                "load_at_end": round(load, 1),
                "seconds": summary.seconds,
                "core_seconds_per_image": round((spent.ru_utime + spent.ru_stime) / summary.photos, 4),
                "images_per_second": round(rate, 1),
                "minutes_for_2000": round(2000 / rate / 60, 2),
            }
        )
    )
    print(f"2,000 images in at most 2 minutes: {'reached' if rate >= 2000 / 120 else 'MISSED'}")


if __name__ == "__main__":
    main()
