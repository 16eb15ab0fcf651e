"""``perisphere evaluate segmentation``: how right the masks and the scores of an encoder are."""

from pathlib import Path
from typing import Annotated

import typer

from perisphere.cli.evaluate_reid import own
from perisphere.cli.segment import (
    AsJson,
    Crf,
    DeviceName,
    Flip,
    Format,
    Keeping,
    NumberFormat,
    Output,
    PerPhoto,
    Power,
    Refine,
    Scales,
    Size,
    judge,
    segmenter_of,
)
from perisphere.errors import UsageError

OF_ENCODERS = ("scales", "flip", "background_power", "keep", "refine", "crf", "size", "device", "precision")
"""Options that mean nothing to the truth itself."""


@own.command("segmentation")
def segmentation(
    context: typer.Context,
    catalog: Annotated[Path, typer.Argument(help="A catalog with true masks of concepts, or concepts.")],
    encoder: Annotated[Path | None, typer.Option("--encoder", "-e", help="An encoder that segments.")] = None,
    oracle: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="Judge the truth itself, made coarse: what such maps can reach."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only photos of this split.")] = None,
    scales: Scales = "1",
    flip: Flip = True,
    background_power: Power = None,
    keep: Keeping = "best",
    refine: Refine = False,
    crf: Crf = False,
    size: Size = None,
    device: DeviceName = "auto",
    precision: Format = NumberFormat.auto,
    per_photo: PerPhoto = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Segment the photos of a catalog and compare at once with its true masks and concepts.

    The figures are those of `perisphere segment evaluate`, which judges masks that were kept.

    **Examples**

    `perisphere evaluate segmentation catalog --encoder encoder --split test`

    `perisphere evaluate segmentation catalog -e encoder --split test --keep 0.5 --refine --json`

    `perisphere evaluate segmentation catalog --oracle 28x28`
    """
    if (encoder is None) == (oracle is None):
        raise UsageError("name one of --encoder FOLDER and --oracle HxW: what is judged.")
    if encoder is None:
        _refuse_of_encoders(context)
    from perisphere.catalog import Catalog
    from perisphere.evaluation.label_predictions import FromEncoder, Oracle

    truth = Catalog.load(catalog)
    if encoder is None:
        judge(Oracle(truth, _resolution(oracle or "")), truth, split, per_photo, output, as_json)
        return
    segmenter = segmenter_of(
        encoder, scales, flip, background_power, keep, refine, crf, size, device, precision
    )
    judge(FromEncoder(segmenter), truth, split, per_photo, output, as_json)


def _refuse_of_encoders(context: typer.Context) -> None:
    """Refuse an option that says how an encoder segments, which the truth does not."""
    for option in OF_ENCODERS:
        given = context.get_parameter_source(option)
        if given is not None and given.name == "COMMANDLINE":
            shown = option.replace("_", "-")
            raise UsageError(f"--{shown} says how an encoder segments; leave it or --oracle out.")


def _resolution(text: str) -> tuple[int, int]:
    from perisphere.encoder.segment import LARGEST

    sides = [int(side) if side.isdecimal() else 0 for side in text.split("x")]
    if len(sides) != 2 or not all(1 <= side <= LARGEST for side in sides):
        raise UsageError(
            f"--oracle {text!r}: give height x width in pixels, each at most {LARGEST:,}, such as 28x28."
        )
    return sides[0], sides[1]
