"""``perisphere tag``: the tags that lie nearest to a photo."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perisphere.cli.main import app
from perisphere.cli.search import AS_JSON, TAGS, given_encoder, given_tags, printable, table
from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.encoder import Encoder
    from perisphere.search import Tagging


@app.command("tag")
def tag(
    image: Annotated[list[Path], typer.Argument(help="Photos to name the tags of.", show_default=False)],
    encoder: Annotated[
        Path | None, typer.Option("--encoder", "-e", help="An encoder trained towards tags.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option("--index", help="An index, for the encoder that it keeps.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Tags a photo, at most.")] = 10,
    min_score: Annotated[float | None, typer.Option(help="Leave out tags whose cosine is lower.")] = None,
    tags: TAGS = None,
    as_json: AS_JSON = False,
) -> None:
    """Name the tags that lie nearest to each photo, with their cosines.

    The encoder must have been trained towards tags (`method: quantization`); photos and tags are then points
    of one sphere.

    **Examples**

    `perisphere tag photo.jpg --encoder training/encoder`

    `perisphere tag *.jpg --index index -k 5 --min-score 0.3 --json`
    """
    from perisphere.search import tag_images

    taggings = tag_images(_encoder(encoder, index), image, k, tags=given_tags(tags), min_score=min_score)
    if as_json:
        typer.echo(json.dumps({"images": [tagging.to_dict() for tagging in taggings]}, indent=2))
    else:
        _show(taggings)


def _encoder(folder: Path | None, index: Path | None) -> "Encoder":
    """Return the encoder of ``--encoder``, or that of ``--index``; one of the two must be there."""
    if (folder is None) == (index is None):
        raise UsageError("name one of --encoder FOLDER and --index FOLDER: what embeds the photos.")
    given = given_encoder(folder)
    if given is not None:
        return given
    assert index is not None
    from perisphere.index import Index
    from perisphere.search.index_encoder import the_encoder

    with Index.open(index) as opened:
        return the_encoder(opened)


def _show(taggings: "list[Tagging]") -> None:
    for tagging in taggings:
        typer.echo(printable(tagging.name))
        rows = [[name, f"{score:.4f}"] for name, score in tagging.tags]
        lines = table([["tag", " score"], *rows]) if rows else ["no tag"]
        typer.echo("\n".join(f"  {line}" for line in lines) + "\n")
