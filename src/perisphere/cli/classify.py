"""``perisphere classify``: the class of a photo by the vote of its neighbours."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perisphere.cli.main import app
from perisphere.cli.queries import each_label
from perisphere.cli.search import (
    AS_JSON,
    ENCODER,
    EXACT,
    EXCLUDE_SELF,
    FILTER,
    INDEX,
    LABEL,
    METRIC,
    SHEET,
    given_encoder,
    printable,
    table,
)

if TYPE_CHECKING:
    from perisphere.search import Verdict

BAR = 24


@app.command("classify")
def classify(
    index: INDEX,
    image: Annotated[list[Path], typer.Argument(help="Photos to classify.", show_default=False)],
    k: Annotated[int, typer.Option("-k", min=1, help="Neighbours that vote.")] = 10,
    temperature: Annotated[
        float, typer.Option(help="The lower, the more the nearest neighbour decides.")
    ] = 0.07,
    metric: METRIC = None,
    where: FILTER = None,
    exact: EXACT = False,
    encoder: ENCODER = None,
    label: LABEL = None,
    exclude_self: EXCLUDE_SELF = False,
    sheet: SHEET = None,
    as_json: AS_JSON = False,
) -> None:
    """Tell the class of a photo by the vote of its nearest labelled images.

    Each neighbour votes for its label with the weight `exp(score / temperature)`.

    **Examples**

    `perisphere classify index photo.jpg`

    `perisphere classify index *.jpg -k 20 --filter "split == 'train'" --sheet votes.png --json`
    """
    from perisphere.index import Index
    from perisphere.search import classify_images, write_sheet
    from perisphere.search.sheet import sheet_format

    if sheet is not None:
        sheet_format(sheet)
    with Index.open(index) as opened:
        verdicts = classify_images(
            opened,
            image,
            k,
            temperature=temperature,
            encoder=given_encoder(encoder),
            labels=each_label(label, len(image)),
            exclude_self=exclude_self,
            metric=metric,
            where=where,
            exact=exact,
        )
    if sheet is not None:
        write_sheet(sheet, [verdict.answer for verdict in verdicts])
    if as_json:
        found = [verdict.to_dict() for verdict in verdicts]
        typer.echo(json.dumps({"index": str(opened.folder), "verdicts": found}, indent=2))
    else:
        _show(verdicts, sheet)


def _show(verdicts: "list[Verdict]", sheet: Path | None) -> None:
    from perisphere.catalog.images import display

    for verdict in verdicts:
        typer.echo(printable(f"{verdict.answer.name}: {verdict.label}"))
        head = ["", "label", " share", " neighbours", "ids"]
        rows = [
            [
                ("█" * max(1, round(BAR * vote.share))).ljust(BAR),
                vote.label,
                f"{vote.share:.1%}",
                str(len(vote.neighbours)),
                " ".join(str(result.id) for result in vote.neighbours),
            ]
            for vote in verdict.votes
        ]
        typer.echo("\n".join(f"  {line}" for line in table([head, *rows])) + "\n")
    if sheet is not None:
        typer.echo(f"sheet: {display(sheet)}")
