import fcntl
import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from drawn import picture
from PIL import Image

from perisphere.catalog import Catalog
from perisphere.encoder import Encoder, Preprocessing, Whitening
from perisphere.encoder.runtimes import export as export_module
from perisphere.encoder.runtimes import quantise as quantise_module
from perisphere.encoder.runtimes.names import ENGINES
from perisphere.encoder.runtimes.program import exported_program
from perisphere.nets import NetSpec, build, input_spec


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "perisphere" / "runtimes"


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """40 photos of 5 places, one of them no photo."""
    folder = tmp_path_factory.mktemp("labelled")
    for number in range(40):
        noise = np.random.default_rng(number).integers(0, 60, (48, 40, 3), dtype=np.uint8)
        Image.fromarray(picture(number % 5) // 2 + noise).save(folder / f"{number:02}.png")
    (folder / "39.png").write_text("no picture")
    names = [f"{number:02}.png" for number in range(40)]
    table = {"id": list(range(40)), "path": names, "label": [f"place {number % 5}" for number in range(40)]}
    return Catalog(pl.DataFrame(table), folder)


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory, labelled: Catalog) -> Path:
    """An encoder with whitening, exported to both runtimes in float32 and as int8; not to be changed.

    Made once in a test run, by whichever process comes first.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / "exported" / "encoder"
    with (base / "exported.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            export_all(base / "exporting" / "encoder", labelled)
            (base / "exporting").rename(base / "exported")
    return folder


def export_all(folder: Path, labelled: Catalog) -> None:
    rng = np.random.default_rng(5)
    net = build(NetSpec(backbone="small32", projection=24), seed=3)
    whitening = Whitening(rng.normal(size=24) / 50, rng.normal(size=(16, 24)))
    own = Encoder(
        net, Preprocessing.for_architecture(input_spec("small32")), name="tiny", whitening=whitening
    )
    own.save(folder)
    program = exported_program(own)
    with pytest.MonkeyPatch.context() as patch:
        for module in (export_module, quantise_module):
            patch.setattr(module, "exported_program", lambda encoder: program)
        for engine in ENGINES:
            export_module.export(own, engine)
            quantise_module.quantise(own, engine, labelled, images=12, named="labelled")


@pytest.fixture
def folder(ready: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return shutil.copytree(ready, tmp_path / "encoder")


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    return [picture(seed, 40 + seed, 70 - seed) for seed in range(9)]
