"""``perisphere scenes``: generate a photo collection."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from perisphere.cli.main import app


@app.command("scenes")
def scenes(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; new or empty.")],
    layout: Annotated[
        str,
        typer.Option(
            help="folders, oxford5k, paris6k, revisited, gldv2, cifar, cub, market1501, fashion, tags "
            "or wikiscenes."
        ),
    ] = "folders",
    landmarks: Annotated[int, typer.Option(help="Number of landmarks (identities).")] = 40,
    photos: Annotated[int, typer.Option(help="Photos of each landmark.")] = 50,
    size: Annotated[
        int, typer.Option(help="Width and height in pixels; market1501: height, twice the width.")
    ] = 128,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    difficulty: Annotated[str, typer.Option(help="easy, normal or hard.")] = "normal",
    cameras: Annotated[
        int | None, typer.Option(help="Fixed cameras of market1501, 2 to 9; 6 if not given.")
    ] = None,
    unseen: Annotated[
        float | None,
        typer.Option(help="Share of the landmarks of wikiscenes kept for val; 0.25 if not given."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0: one per core.")] = 0,
    truth: Annotated[
        bool,
        typer.Option("--truth/--no-truth", help="Write what is true of the photos to DIR/truth."),
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DIR.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Generate photos of landmarks in three dimensions, with everything that is true of them.

    Churches, temples, mosques, castles, palaces, towers and bridges, in changing light, from changing places.
    The photos lie in `DIR/photos` (one folder per landmark, below its family and style): read that folder,
    not `DIR`. What is true of them lies in `DIR/truth`: captions and tags, part masks, and
    keypoints, each of which is one point of the building in many photos. `DIR/taxonomy.txt` is the tree of
    families, styles and landmarks, with the labels that the layout's reader gives them.

    The other layouts are those of published benchmarks, with queries, boxes and ground truth. A photo is
    right for a query if it shows a quarter of the surface that the query shows, good or easy from
    a half on, and junk below a quarter. The summary names the folder to read.

    **Examples**

    `perisphere scenes world` and then `perisphere read folders world/photos -o world.catalog`

    `perisphere scenes world --layout revisited` and then `perisphere read revisited world/revisited -o cat`

    `perisphere scenes small --layout cifar --size 32` and then `perisphere read cifar100 small/cifar -o cat`

    `perisphere scenes people --layout market1501 --landmarks 150 --photos 24` and then
    `perisphere read market1501 people/market1501 -o cat`: landmarks as identities for re-identification, seen
    by fixed cameras, each with its own side, light and colours

    `perisphere scenes shop --layout fashion` and then `perisphere read fashion shop/fashion -o cat`:
    landmarks as products, photographed by buyers and by the shop

    `perisphere scenes album --layout tags` and then `perisphere read tags album/tags -o cat`: photos with the
    tags of users, who know synonyms and other languages, slip, forget, and write what is not there

    `perisphere scenes minsters --layout wikiscenes --landmarks 28` and then
    `perisphere read wikiscenes minsters/wikiscenes -o cat`: cathedrals outside and inside, each photo of a
    subject (portal, organ, altar, ...), with captions, category trees, correspondences and concept masks

    `perisphere scenes hard --landmarks 100 --photos 40 --difficulty hard --seed 7`
    """
    from perisphere.catalog.scenes import write_scenes

    summary = write_scenes(
        out,
        layout=layout,
        landmarks=landmarks,
        photos=photos,
        size=size,
        seed=seed,
        difficulty=difficulty,
        workers=workers,
        truth=truth,
        overwrite=overwrite,
        cameras=cameras,
        unseen=unseen,
    )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(summary)))
        return
    typer.echo(
        f"{summary.photos} photos of {summary.landmarks} landmarks in {summary.photos_folder} "
        f"({summary.photos / max(summary.seconds, 0.01):.1f} images/s)"
    )
