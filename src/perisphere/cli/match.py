"""``perisphere match``: matching points of two photos of one place."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perisphere.cli.main import app
from perisphere.cli.search import printable, table

if TYPE_CHECKING:
    from perisphere.search.matching import Matching

SHOWN = 10
"""Pairs that are printed without --json."""


@app.command("match")
def match(
    first: Annotated[Path, typer.Argument(help="A photo.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another photo of the same place.", show_default=False)],
    encoder: Annotated[
        Path, typer.Option("--encoder", "-e", help="An encoder: a segmentation one or any other network.")
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Draw the pairs into this .jpg or .png.")
    ] = None,
    points: Annotated[int, typer.Option(min=1, help="How many pairs, at most, the best first.")] = 50,
    layer: Annotated[
        str | None,
        typer.Option(
            help="shallow, backbone, merged, gate or decoder (default) of a segmentation network; a stage of "
            "the backbone (default: the last) of others."
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Pixels of the longer side that photos are seen at; default: the encoder's."),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option(help="homography or fundamental: show which pairs agree with one geometric model."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="With --verify: pixels that a pair may lie off; default: a cell of the feature map."
        ),
    ] = None,
    min_score: Annotated[float | None, typer.Option(help="Leave out pairs with a lower cosine.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the pairs as JSON.")] = False,
) -> None:
    """Find the points of two photos whose features are each other's nearest, and draw lines between them.

    Points are x, y in pixels; a photo spans 0 to its width and height. The finer the feature map, the nearer
    they lie: `--size` lets the network see the photos larger.

    **Examples**

    `perisphere match front.jpg side.jpg --encoder encoder -o lines.png`

    `perisphere match front.jpg side.jpg --encoder encoder --verify fundamental --points 30 --json`
    """
    from perisphere.encoder import Encoder
    from perisphere.encoder.dense_features import DenseFeatures
    from perisphere.errors import UsageError
    from perisphere.search.matching import match_photos
    from perisphere.search.rerank.geometric import ENOUGH
    from perisphere.search.sheet import sheet_format

    if out is not None:
        sheet_format(out)
    if threshold is not None and verify is None:
        raise UsageError(
            "--threshold is for pairs that are verified: add --verify fundamental, or leave it out."
        )
    model = next((name for name in ENOUGH if name == verify), None)
    if verify is not None and model is None:
        raise UsageError(f"--verify {verify!r} is unknown: choose one of {', '.join(ENOUGH)}.")
    features = DenseFeatures(Encoder.load(encoder), layer=layer, size=size)
    found = match_photos(
        features, first, second, points=points, min_score=min_score, verify=model, threshold=threshold
    )
    if out is not None:
        _draw(out, first, second, found)
    if as_json:
        facts = {"first": str(first), "second": str(second), "encoder": features.encoder.name}
        facts["layer"] = features.layer
        typer.echo(json.dumps({**facts, "verify": verify, **found.to_dict()}, indent=1))
        return
    _show(found, out)


def _draw(out: Path, first: Path, second: Path, found: "Matching") -> None:
    from perisphere.search.matches import draw_pair
    from perisphere.search.matching import title_of
    from perisphere.search.sheet import sheet_format
    from perisphere.storage import whole_file

    said = None if found.verified else f"{len(found)} pairs of mutual nearest features"
    picture = draw_pair(first, second, found.drawn(), title_of(first, second), said)
    with whole_file(out) as part:
        picture.save(part, format=sheet_format(out), quality=92)


def _show(found: "Matching", out: Path | None) -> None:
    rows = [[" score", " x1", " y1", " x2", " y2", *(["agrees"] if found.verified else [])]]
    for pair in found.to_dict()["points"][:SHOWN]:
        cells = [f"{pair[name]:.1f}" for name in ("x1", "y1", "x2", "y2")]
        agrees = ["yes" if pair["agrees"] else "no"] if found.verified else []
        rows.append([f"{pair['score']:.3f}", *cells, *agrees])
    typer.echo("\n".join(table(rows)) if len(found) else "no pair of points is alike")
    more = f", the first {SHOWN} shown" if len(found) > SHOWN else ""
    agree = f", {found.count} of them agree" if found.verified else ""
    typer.echo(f"{len(found)} pairs{agree}{more}")
    if out is not None:
        typer.echo(f"matches: {printable(str(out))}")
