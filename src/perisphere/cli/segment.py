"""``perisphere segment``: masks of the concepts in photos, and how right they are."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError

if TYPE_CHECKING:
    from perisphere.catalog import Catalog
    from perisphere.encoder.segment import Keep, Segmenter
    from perisphere.encoder.segment_catalog import Segmented
    from perisphere.evaluation.label_predictions import Predictions

segment = typer.Typer(help="Masks of the concepts in photos.", no_args_is_help=True)
app.add_typer(segment, name="segment")

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
SHOWN = 5


class NumberFormat(StrEnum):
    """What the network computes in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


EncoderFolder = Annotated[Path, typer.Option("--encoder", "-e", help="An encoder that segments.")]
Scales = Annotated[str, typer.Option(help="Sizes at which a photo is seen, such as 1,0.5,1.5,2.")]
Flip = Annotated[bool, typer.Option("--flip/--no-flip", help="See each photo mirrored too.")]
Power = Annotated[
    float | None,
    typer.Option(
        "--background-power",
        help="The background's mask is raised to it (default: 4; for class activation maps 1).",
    ),
]
Keeping = Annotated[
    str,
    typer.Option(
        help="Classes that may be in a photo: best, so many of the best (2), from a score (0.5), "
        "or labels: the catalog's concepts."
    ),
]
Refine = Annotated[bool, typer.Option("--refine", help="Fit masks to the photo's colours (PAMR).")]
Crf = Annotated[bool, typer.Option("--crf", help="Fit masks by a dense CRF (extra `crf`).")]
Size = Annotated[
    int | None, typer.Option(help="Longer side of a photo at scale 1 (default: the encoder's input).")
]
DeviceName = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps ...")]
Format = Annotated[
    NumberFormat, typer.Option("--precision", help="auto: bfloat16 where the hardware has it.")
]
PerPhoto = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="Write the score of each concept in each photo, best first."),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Also write the report as JSON.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@segment.command("predict")
def predict(
    source: Annotated[
        list[Path], typer.Argument(metavar="CATALOG|PHOTO...", help="A catalog's folder, or photos.")
    ],
    encoder: EncoderFolder,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder to write; for one photo also a picture's name.")
    ],
    split: Annotated[str | None, typer.Option(help="Only photos of this split.")] = None,
    scales: Scales = "1",
    flip: Flip = True,
    background_power: Power = None,
    keep: Keeping = "best",
    refine: Refine = False,
    crf: Crf = False,
    size: Size = None,
    painted: Annotated[
        bool, typer.Option("--paint", help="Also write photos with their masks laid over.")
    ] = False,
    device: DeviceName = "auto",
    precision: Format = NumberFormat.auto,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier OUT.")] = False,
    as_json: AsJson = False,
) -> None:
    """Segment photos into the concepts that an encoder knows.

    OUT is a catalog: the photos stay where they are, `masks/` has a palette PNG for each (0 background, then
    the concepts in their order), `regions.parquet` the box, share and score of each concept found, and
    `scores.npy` the scores of all concepts. Killed? The same command goes on where it was. One photo alone
    can be painted: end OUT in .png or .jpg.

    **Examples**

    `perisphere segment predict catalog --encoder encoder -o segmented --paint`

    `perisphere segment predict catalog -e encoder -o segmented --scales 1,0.5,1.5,2 --keep 0.5 --refine`

    `perisphere segment predict photo.jpg --encoder encoder -o painted.png`
    """
    from perisphere.catalog import Catalog
    from perisphere.encoder.segment_catalog import photos_as_catalog, segment_catalog

    picture = out.suffix.lower() in PICTURES
    if picture and (len(source) > 1 or not source[0].is_file()):
        raise UsageError(f"--out {out}: a picture is painted of one photo; name a folder for more.")
    if picture and split:
        raise UsageError("--split is for a catalog; leave it out for a photo.")
    if picture and painted:
        raise UsageError(f"--out {out}: a picture is painted in any case; leave --paint out.")
    folder = len(source) == 1 and source[0].is_dir()
    if folder:
        catalog = Catalog.load(source[0]).select(split=split)
    elif split:
        raise UsageError("--split is for a catalog; leave it out for photos.")
    segmenter = segmenter_of(
        encoder, scales, flip, background_power, keep, refine, crf, size, device, precision
    )
    if picture:
        _paint(source[0], segmenter, out, overwrite, as_json)
        return
    found = segment_catalog(
        catalog if folder else photos_as_catalog(source),
        segmenter,
        out,
        painted=painted,
        overwrite=overwrite,
    )
    _show(found, out, as_json)


@segment.command("evaluate")
def evaluate(
    predicted: Annotated[Path, typer.Argument(help="A folder of `segment predict`.")],
    truth: Annotated[Path, typer.Argument(help="The catalog with the true masks, or concepts.")],
    split: Annotated[str | None, typer.Option(help="Only photos of this split of TRUTH.")] = None,
    per_photo: PerPhoto = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Compare masks and scores with the truth: IoU, precision and recall, average precision of concepts.

    Ambiguous pixels (255) count nowhere; a photo without a prediction counts against the result. **mean IoU**
    is over all concepts, one that never occurs counting 0 (published); **of occurring** leaves those out.
    Photos of landmarks that are also in the split `train` are left out in a second set of figures.

    **Examples**

    `perisphere segment evaluate segmented catalog --split test`

    `perisphere segment evaluate segmented catalog --per-photo photos.csv --json`
    """
    from perisphere.catalog import Catalog
    from perisphere.evaluation.label_predictions import FromFolder

    judge(FromFolder(predicted), Catalog.load(truth), split, per_photo, output, as_json)


@segment.command("tune")
def tune(
    catalog: Annotated[Path, typer.Argument(help="A catalog whose photos have true masks.")],
    encoder: EncoderFolder,
    split: Annotated[
        str | None, typer.Option(help="Only photos of this split; not the one that is judged later.")
    ] = None,
    powers: Annotated[
        str, typer.Option(help="What is tried as --background-power.")
    ] = "0.125,0.25,0.5,1,2,4,8,16",
    scales: Scales = "1",
    flip: Flip = True,
    keep: Keeping = "best",
    refine: Refine = False,
    crf: Crf = False,
    size: Size = None,
    device: DeviceName = "auto",
    precision: Format = NumberFormat.auto,
    as_json: AsJson = False,
) -> None:
    """Try background powers on photos whose masks are known, and say which gives the best masks.

    Each photo passes through the network once. The best has the largest mean IoU over the concepts that
    occur and the background.

    **Examples**

    `perisphere segment tune catalog --encoder encoder --split val`

    `perisphere segment tune catalog -e encoder --split val --keep 0.5 --powers 1,2,4 --json`
    """
    from perisphere.catalog import Catalog
    from perisphere.cli.evaluate_options import show_table
    from perisphere.evaluation.background_powers import MEAN, best_power, power_table, try_powers

    segmenter = segmenter_of(encoder, scales, flip, None, keep, refine, crf, size, device, precision)
    tried = try_powers(segmenter, Catalog.load(catalog), _numbers("--powers", powers), split=split)
    if as_json:
        facts = {"best": best_power(tried), "by": MEAN, "powers": {f"{p:g}": v for p, v in tried.items()}}
        typer.echo(json.dumps(facts, indent=2))
        return
    show_table(power_table(tried))
    typer.echo(f"best: --background-power {best_power(tried):g}")


def judge(
    predictions: "Predictions",
    truth: "Catalog",
    split: str | None,
    per_photo: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Judge predictions, and write and print what was found."""
    if per_photo and per_photo.suffix.lower() != ".csv":
        raise UsageError(f"--per-photo {per_photo}: a table of photos ends in .csv; name it so.")
    from perisphere.cli.evaluate_options import show_table
    from perisphere.evaluation.class_table import class_table
    from perisphere.evaluation.segmentation import judge_segmentation
    from perisphere.storage import whole_file

    judged = judge_segmentation(predictions, truth, split=split)
    if output:
        judged.report.save(output)
    if per_photo:
        with whole_file(per_photo) as part:
            judged.photos.write_csv(part)
        typer.echo(f"wrote {per_photo}", err=True)
    if as_json:
        typer.echo(judged.report.to_json(), nl=False)
        return
    show_table(class_table(judged.report))
    show_table(judged.report.table())


def segmenter_of(
    encoder: Path,
    scales: str,
    flip: bool,
    background_power: float | None,
    keep: str,
    refine: bool,
    crf: bool,
    size: int | None,
    device: str,
    precision: NumberFormat,
) -> "Segmenter":
    """Return the segmenter that the options of the command line describe."""
    from perisphere.encoder import Encoder
    from perisphere.encoder.segment import Segmenter

    return Segmenter(
        Encoder.load(encoder),
        scales=_numbers("--scales", scales),
        flip=flip,
        background_power=background_power,
        keep=keep_of(keep),
        refine=refine,
        crf=crf,
        size=size,
        device=device,
        precision=precision.value,
    )


def keep_of(text: str) -> "Keep":
    """Return what ``--keep`` says."""
    if text in ("best", "labels"):
        return 1 if text == "best" else "labels"
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise UsageError(
            f"--keep {text!r}: give best, labels, a number of classes or a score below 1."
        ) from None


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text!r}: give numbers with commas, such as 1,0.5,1.5,2.") from None


def _paint(photo: Path, segmenter: "Segmenter", out: Path, overwrite: bool, as_json: bool) -> None:
    from perisphere.encoder.segment_catalog import paint_photo
    from perisphere.storage import whole_file

    if out.exists() and not overwrite:
        raise PerisphereError(f"{out}: exists already. Name another file, or pass --overwrite.")
    if segmenter.keep == "labels":
        raise UsageError("--keep labels is for a catalog with concepts; a photo alone has none.")
    painting, table = paint_photo(photo, segmenter)
    with whole_file(out) as part:
        painting.save(part, PICTURES[out.suffix.lower()])
    regions = table.drop("image").to_dicts()
    if as_json:
        typer.echo(json.dumps({"photo": str(photo), "out": str(out), "regions": regions}, indent=2))
        return
    for region in regions:
        box = ",".join(str(region[side]) for side in ("x0", "y0", "x1", "y1"))
        typer.echo(f"{region['concept']}: score {region['score']:.2f}, {region['share']:.0%}, box {box}")
    typer.echo(f"wrote {out}")


def _show(found: "Segmented", out: Path, as_json: bool) -> None:
    regions = found.catalog.regions
    assert regions is not None
    counts = {name: regions.filter(concept=name).height for name in found.classes}
    run: dict[str, Any] = found.catalog.source["segmented"]["run"]
    if as_json:
        skipped = [{"path": item.path, "reason": item.reason} for item in found.catalog.skipped]
        facts = {"out": str(out), "images": len(found.catalog), "regions": counts, "run": run}
        typer.echo(json.dumps(facts | {"skipped": skipped}, indent=2))
        return
    typer.echo(f"{len(found.catalog):,} photos segmented in {out}")
    if run["resumed_at"]:
        typer.echo(f"went on at photo {run['resumed_at']:,} of an earlier run")
    for name, count in counts.items():
        typer.echo(f"  {name}: in {count:,}")
    for item in found.catalog.skipped[:SHOWN]:
        typer.echo(f"skipped {item.path}: {item.reason}")
