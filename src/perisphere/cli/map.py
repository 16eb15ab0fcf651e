"""``perisphere map``: the photos where their vectors lie, on a plane."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from perisphere.cli.main import app


class MethodName(StrEnum):
    """What flattens the vectors."""

    tsne = "tsne"
    pca = "pca"


@app.command("map")
def map_(
    source: Annotated[Path, typer.Argument(help="An embeddings folder or an index.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write, .jpg or .png.")],
    split: Annotated[
        str | None, typer.Option(help="Splits that are shown, such as index,query (default: all).")
    ] = None,
    method: Annotated[
        MethodName, typer.Option(help="tsne keeps neighbours together, pca keeps large distances.")
    ] = MethodName.tsne,
    limit: Annotated[int, typer.Option(min=1, help="Photos shown at most, drawn at random.")] = 2000,
    side: Annotated[int, typer.Option(min=64, max=20_000, help="Side of the map in pixels.")] = 2400,
    thumbnail: Annotated[int, typer.Option(min=8, help="Longer side of a photo in pixels.")] = 72,
    seed: Annotated[int, typer.Option(help="Of the draw and of t-SNE.")] = 0,
) -> None:
    """Draw a map of the embedding: photos that are alike lie near each other.

    A photo is framed in the colour of its label; one that would cover another is a dot. t-SNE needs
    scikit-learn (`pip install 'perisphere[map]'`); pca needs nothing more.

    **Examples**

    `perisphere map vectors -o map.png`

    `perisphere map photos.index -o map.jpg --split index --method pca --limit 500`
    """
    from perisphere.evaluation import read_points
    from perisphere.evaluation.map import draw_map

    words = None if split is None else [word.strip() for word in split.split(",") if word.strip()]
    points = read_points(source).of_split(words)
    written = draw_map(
        points, out, method=method.value, limit=limit, side=side, thumbnail=thumbnail, seed=seed
    )
    typer.echo(f"wrote {written}: {min(limit, len(points)):,} of {len(points):,} photos")
