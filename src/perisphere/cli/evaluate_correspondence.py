"""``perisphere evaluate correspondence``: points of one photo found in another by their features."""

from pathlib import Path
from typing import Annotated

import typer

from perisphere.cli.evaluate_options import show_report
from perisphere.cli.evaluate_reid import own
from perisphere.cli.segment import AsJson, DeviceName, Format, NumberFormat, Output
from perisphere.errors import UsageError

PAIRS_DRAWN = 12


@own.command("correspondence")
def correspondence(
    catalog: Annotated[Path, typer.Argument(help="A catalog whose photos have keypoints.")],
    encoder: Annotated[Path, typer.Option("--encoder", "-e", help="An encoder of a convolutional network.")],
    layer: Annotated[
        str | None,
        typer.Option(
            help="Whose features: shallow, backbone, merged, gate, decoder (default) of an encoder that "
            "segments, a stage of the backbone (default: the last) of any other."
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only photos of this split.")] = None,
    least: Annotated[int, typer.Option(min=1, help="Points that two photos share.")] = 10,
    pairs: Annotated[int, typer.Option(min=0, help="Pairs of photos, drawn by lot; 0: all.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the lot.")] = 0,
    size: Annotated[
        int | None,
        typer.Option(help="Longer side in pixels that photos are shrunk to (default: the input)."),
    ] = None,
    align_corners: Annotated[
        bool,
        typer.Option(
            "--align-corners/--no-align-corners",
            help="A photo's edges are the centres of the outer features, as trained; or their edges.",
        ),
    ] = True,
    plots: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Draw PCK over the distance.")] = None,
    matches: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Draw pairs of photos with their matches.")
    ] = None,
    pictures: Annotated[
        int | None, typer.Option(min=1, max=999, help="Pairs that --matches draws; 12 by default.")
    ] = None,
    device: DeviceName = "auto",
    precision: Format = NumberFormat.auto,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Find the points that two photos share by their nearest features: PCK at 5 % and 10 %.

    Each point of a photo is looked for among all positions of the other photo's features, in both directions.
    It is found where it lies within 5 % (10 %) of the larger side of where it is. **same position** guesses
    that nothing moved, **chance** guesses anywhere.

    **Examples**

    `perisphere evaluate correspondence places --encoder encoder --split test`

    `perisphere evaluate correspondence places -e encoder --layer backbone --matches matches --plots plots`
    """
    from perisphere.catalog import Catalog
    from perisphere.encoder import Encoder
    from perisphere.encoder.dense_features import DenseFeatures
    from perisphere.evaluation.correspondence import judge_correspondence
    from perisphere.evaluation.match_pictures import check_folder, draw_matches

    if pictures is not None and not matches:
        raise UsageError("--pictures says how many pairs --matches draws: give --matches, or leave it out.")
    if matches:
        check_folder(matches)
    found = DenseFeatures(
        Encoder.load(encoder), layer=layer, size=size, device=device, precision=precision.value
    )
    judged = judge_correspondence(
        Catalog.load(catalog),
        found,
        split=split,
        least=least,
        pairs=pairs or None,
        seed=seed,
        align_corners=align_corners,
    )
    if output:
        judged.report.save(output)
    if plots:
        from perisphere.evaluation.plots import draw

        for file in draw({judged.report.encoder["name"]: judged.report}, plots):
            typer.echo(f"wrote {file}", err=True)
    if matches:
        files = draw_matches(judged, matches, pictures or PAIRS_DRAWN, seed)
        typer.echo(f"wrote {len(files)} pictures in {matches}", err=True)
    show_report(judged.report, as_json)
