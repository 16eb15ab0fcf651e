"""``perisphere encoder export``: an encoder's network for OpenVINO or ONNX Runtime, in float32 or as int8."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from perisphere.cli.encoder import AsJson, Seed, encoder
from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.catalog import Catalog
    from perisphere.encoder.runtimes.exported import Exported

CHECKED = 32  # photos of --check that both runtimes embed


@encoder.command("export")
def export(
    source: Annotated[
        Path, typer.Argument(metavar="ENCODER", help="An encoder folder; the model goes into it.")
    ],
    runtime: Annotated[Literal["openvino", "onnx"], typer.Option(help="What is to run the network.")],
    check: Annotated[
        Path | None, typer.Option(help="A catalog to compare both on; drawn photos if not given.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Weights and activations of 8 bits.")] = False,
    calibrate: Annotated[
        Path | None, typer.Option(help="A catalog of photos like those to embed; goes with --int8.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Photos to calibrate with; default: 300.")
    ] = None,
    measure: Annotated[
        int | None, typer.Option(min=0, help="Photos to measure the loss on at most; default: 2,000.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only photos of this split of the catalog.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Export an encoder's network to OpenVINO or ONNX Runtime.

    The model is kept in the encoder's folder if its vectors are torch's up to 1e-3. `--runtime` of other
    commands exports by itself; with --int8 it must be done here. An int8 encoder has an identity of its own.
    Its loss in mAP is measured on photos of the catalog that it was not calibrated with, where they have
    labels, and shown by `perisphere show ENCODER`.

    **Examples**

    `perisphere encoder export encoder --runtime openvino --check catalog`

    `perisphere encoder export encoder --runtime onnx --int8 --calibrate catalog --images 500`
    """
    from perisphere.encoder import Encoder

    _check_words(int8, check, calibrate, images, measure, split)
    loaded = Encoder.load(source)
    if loaded.int8 is not None:
        raise UsageError(f"{source}: is int8 already. Export the encoder that it was made of.")
    if int8:
        from perisphere.encoder.runtimes.quantise import CALIBRATION, MEASURED, quantise

        assert calibrate is not None
        made = quantise(
            loaded,
            runtime,
            _photos(calibrate, split),
            images=CALIBRATION if images is None else images,
            measured=MEASURED if measure is None else measure,
            seed=seed,
            named=calibrate.name,
        )
    else:
        from perisphere.encoder.runtimes.export import export as run

        drawn = None if check is None else _drawn(_photos(check, split), seed)
        made = run(loaded, runtime, photos=drawn, named="" if check is None else check.name)
    if as_json:
        typer.echo(json.dumps({"model": str(made.folder), **made.manifest.told()}, indent=2))
    else:
        typer.echo("\n".join(_lines(made)))


def _check_words(
    int8: bool,
    check: Path | None,
    calibrate: Path | None,
    images: int | None,
    measure: int | None,
    split: str | None,
) -> None:
    """Refuse options that mean nothing together (UsageError)."""
    if int8 and calibrate is None:
        raise UsageError("--int8: needs photos to find the ranges of activations. Add --calibrate CATALOG.")
    if int8 and check is not None:
        raise UsageError("--check: int8 is measured on the photos of --calibrate. Leave it out.")
    if not int8:
        for option, value in (("calibrate", calibrate), ("images", images), ("measure", measure)):
            if value is not None:
                raise UsageError(f"--{option} {value}: goes with --int8, which is missing.")
        if split is not None and check is None:
            raise UsageError(f"--split {split}: goes with --check CATALOG, which is missing.")


def _photos(folder: Path, split: str | None) -> "Catalog":
    from perisphere.catalog import Catalog

    catalog = Catalog.load(folder)
    return catalog if split is None else catalog.select(split=split)


def _drawn(catalog: "Catalog", seed: int) -> list[Path]:
    import numpy as np

    chosen = np.random.default_rng(seed).permutation(len(catalog))[:CHECKED]
    paths = catalog.paths()
    return [paths[row] for row in sorted(chosen.tolist())]


def _lines(made: "Exported") -> list[str]:
    known = made.manifest
    near = known.agreement
    lines = [
        f"Wrote {made.folder}",
        f"{near.images:,} photos ({near.photos}) as torch embeds them: least cosine {near.cosine:.6f}, "
        f"mean {near.mean_cosine:.6f}, greatest difference {near.difference:.2g}",
    ]
    if known.int8 is not None:
        told = known.int8
        lines.append(f"calibrated with {told.calibration:,} photos of {told.photos}")
        if told.map_float32 is None or told.map_int8 is None:
            lines.append("the loss was not measured: too few photos are left, or they have no labels")
        else:
            lines.append(
                f"mAP of {told.measured:,} other photos: {told.map_float32:.4f} in float32, "
                f"{told.map_int8:.4f} in int8"
            )
    return lines
