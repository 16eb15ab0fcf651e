"""``perisphere crop``: photos cut out by their boxes beforehand."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from perisphere.cli.main import app


@app.command("crop")
def crop(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder of user and shop photos.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write; a catalog, too.")],
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of the crops in pixels.")] = "256x128",
    fit: Annotated[
        Literal["pad", "squash"],
        typer.Option(help="Keep the proportions, white around, never enlarge; or fill the crop."),
    ] = "pad",
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of the JPEG files.")] = 95,
    min_area: Annotated[int, typer.Option(min=0, help="Leave out boxes of fewer square pixels.")] = 1,
    workers: Annotated[int, typer.Option(min=0, max=1024, help="Threads; 0: one a core.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier crops.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Cut every box out of its photo, once and for all trainings.

    The new folder is a catalog of the crops, for `train` and `embed`. In its `photos` lie `train/`, `query/`
    and `gallery/` with a COCO file for each (`train.json` ...) that has `pair_id` and `source`, as
    `read fashion` takes it. A row without a box is taken whole. After a kill the same command goes on.

    **Examples**

    `perisphere read deepfashion DeepFashion -o deepfashion`

    `perisphere crop deepfashion --size 256x128 -o deepfashion-256`

    `perisphere crop deepfashion --size 320x320 -o deepfashion-320`
    """
    from perisphere.catalog import Catalog
    from perisphere.catalog.crops import Style, parse_size
    from perisphere.catalog.crops import crop as cut
    from perisphere.catalog.summary import summary
    from perisphere.cli.catalog_text import print_summary

    style = Style(*parse_size(size), fit=fit, quality=quality, min_area=min_area)
    crops = cut(Catalog.load(catalog), style, out, workers=workers, overwrite=overwrite)
    facts = summary(crops.catalog)
    if as_json:
        counts = {"made": crops.made, "resumed": crops.resumed}
        typer.echo(json.dumps({"catalog": str(out), **counts, **facts}, indent=2))
        return
    print_summary(str(out), facts)
    earlier = f", {crops.resumed:,} were there from an earlier run" if crops.resumed else ""
    typer.echo(f"{crops.made:,} crops of {size} made{earlier}")
