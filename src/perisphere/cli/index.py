"""``perisphere index``: make an index, change it, look after it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perisphere.cli.main import app
from perisphere.cli.runtimes import INT8, RUNTIME
from perisphere.cli.search import printable
from perisphere.errors import PerisphereError, UsageError

if TYPE_CHECKING:
    from perisphere.index import Index

index = typer.Typer(no_args_is_help=True, help="Make an index, change it and look after it.")
app.add_typer(index, name="index")

INDEX = Annotated[Path, typer.Argument(help="The index folder.", show_default=False)]
SOURCE = Annotated[
    Path,
    typer.Argument(
        help="Embeddings (from `perisphere embed`), a catalog, or a folder of photos.", show_default=False
    ),
]
SPLIT = Annotated[str | None, typer.Option(help="Only the images of this split.")]
JSON = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@index.command("create")
def create(
    folder: INDEX,
    source: SOURCE,
    encoder: Annotated[
        Path | None, typer.Option("--encoder", "-e", help="The encoder; a copy is kept in the index.")
    ] = None,
    runtime: RUNTIME = None,
    int8: INT8 = False,
    metric: Annotated[str, typer.Option(help="cosine, l2 or l1.")] = "cosine",
    recall: Annotated[
        float | None,
        typer.Option(
            help="Search large indexes faster, with at least this share of the true nearest (e.g. 0.99)."
        ),
    ] = None,
    centroids: Annotated[
        bool, typer.Option("--centroids", help="Keep one point for each label, beside the photos.")
    ] = False,
    centroids_only: Annotated[
        bool, typer.Option("--centroids-only", help="Keep one point for each label instead of the photos.")
    ] = False,
    codes: Annotated[
        Path | None,
        typer.Option(
            metavar="CODEBOOKS",
            help="Give each image a code of a few bytes and search by it: a file of codebooks, or an encoder "
            "that has them.",
        ),
    ] = None,
    codes_only: Annotated[
        bool, typer.Option("--codes-only", help="Keep the codes instead of the images' vectors.")
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Keep vectors and rows in Milvus: milvus://HOST:PORT[/DATABASE], or a file PATH.db of "
            "Milvus Lite. MILVUS_TOKEN is sent to the server in MILVUS_TOKEN_FOR alone.",
        ),
    ] = None,
    split: SPLIT = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier index.")] = False,
    as_json: JSON = False,
) -> None:
    """Make an index of embeddings, of a catalog or of a folder of photos.

    **Examples**

    `perisphere index create index vectors`

    `perisphere index create index photos/ --encoder encoder`

    `perisphere index create index photos/ --encoder encoder --runtime openvino`

    `perisphere index create index vectors --recall 0.99 --split index`

    `perisphere index create index vectors --centroids`

    `perisphere index create index vectors --codes codebooks.npz`

    `perisphere index create small-index vectors --codes encoder --codes-only`

    `perisphere index create index vectors --store milvus://127.0.0.1:19530`
    """
    from perisphere.index.filling import create_from

    if centroids and centroids_only:
        raise UsageError("Centroids lie either beside the photos or instead of them: choose one option.")
    if codes_only and codes is None:
        raise UsageError("--codes-only needs codes: name the codebooks, or their encoder, with --codes.")
    with create_from(
        folder,
        source,
        encoder=encoder,
        runtime=runtime,
        int8=int8,
        metric=metric,
        recall=recall,
        centroids="beside" if centroids else "only" if centroids_only else None,
        codebooks=codes,
        codes="only" if codes_only else "beside",
        store=store,
        split=split,
        overwrite=overwrite,
    ) as made:
        _report(made.info(), as_json)


@index.command("add")
def add(
    folder: INDEX, source: SOURCE, split: SPLIT = None, runtime: RUNTIME = None, as_json: JSON = False
) -> None:
    """Add images; the index's own encoder embeds what is not embedded yet.

    **Examples**

    `perisphere index add index more-vectors`

    `perisphere index add index new-photos/`
    """
    from perisphere.index import Index
    from perisphere.index.filling import add_from

    with Index.open(folder) as opened:
        ids = add_from(opened, source, split=split, runtime=runtime)
        images = len(opened)
    if as_json:
        typer.echo(json.dumps({"added": len(ids), "ids": ids.tolist(), "images": images}))
    else:
        span = f" with the ids {ids[0]} to {ids[-1]}" if len(ids) else ""
        typer.echo(f"{len(ids):,} images added{span}; {images:,} in all")


@index.command("remove")
def remove(
    folder: INDEX,
    ids: Annotated[str | None, typer.Option(help="Ids, e.g. `1,2,9`.")] = None,
    where: Annotated[
        str | None, typer.Option("--filter", "-f", metavar="EXPR", help="All that pass this filter.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Remove images by id or by filter.

    **Examples**

    `perisphere index remove index --ids 4,17`

    `perisphere index remove index --filter "label == 'dome' and camera == 2"`
    """
    from perisphere.index import Index
    from perisphere.index.filling import remove_from

    if (ids is None) == (where is None):
        raise UsageError("Say what to remove: either --ids 1,2 or --filter EXPR.")
    with Index.open(folder) as opened:
        removed = remove_from(opened, opened.ids(where) if ids is None else _numbers(ids))
        images = len(opened)
    answer = {"removed": removed, "images": images}
    typer.echo(json.dumps(answer) if as_json else f"{removed:,} images removed; {images:,} are left")


@index.command("centroids")
def centroids(folder: INDEX, as_json: JSON = False) -> None:
    """Keep one point for each label from now on, beside the photos that are there.

    **Examples**

    `perisphere index centroids index`
    """
    from perisphere.index import Index

    with Index.open(folder) as opened:
        kept = opened.keep_centroids()
        facts = opened.info()
    if as_json:
        typer.echo(json.dumps({"centroids": kept, "images": facts["images"], "bytes": facts["bytes"]}))
    else:
        typer.echo(f"{kept:,} centroids of {facts['images']:,} images: {_bytes(facts['bytes'])} in all")


@index.command("regions")
def regions(
    folder: INDEX,
    segmented: Annotated[
        Path, typer.Argument(help="A catalog that `perisphere segment predict` wrote.", show_default=False)
    ],
    vectors: Annotated[
        bool,
        typer.Option(
            "--vectors/--no-vectors",
            help="Give each region a vector, so that parts of photos can be searched with (--region).",
        ),
    ] = True,
    as_json: JSON = False,
) -> None:
    """Give the photos of an index the regions that a segmentation found: concepts, scores, outlines.

    Photos are told by their files. Regions that a photo had are replaced; they go with their photo. Vectors
    need an index that was made with a segmentation encoder.

    **Examples**

    `perisphere index regions index segmented`
    """
    from perisphere.catalog import Catalog
    from perisphere.index import Index
    from perisphere.index.segmented import bring_regions

    catalog = Catalog.load(segmented)
    with Index.open(folder) as opened:
        brought = bring_regions(opened, catalog, vectors=vectors)
    for reason in brought.unreadable:
        typer.echo(f"no vectors: {printable(reason)}", err=True)
    if as_json:
        facts = {"photos": brought.photos, "regions": brought.regions, "vectors": brought.vectors}
        typer.echo(json.dumps({**facts, "strangers": brought.strangers}))
        return
    typer.echo(f"{brought.regions:,} regions of {brought.photos:,} photos, {brought.vectors:,} with a vector")
    if brought.strangers:
        typer.echo(f"{brought.strangers:,} segmented photos are not in the index")


@index.command("info")
def info(folder: INDEX, as_json: JSON = False) -> None:
    """Show what an index is and holds, how it searches, and what a compaction would reclaim.

    **Examples**

    `perisphere index info index`

    `perisphere index info index --json`
    """
    from perisphere.index import Index

    with Index.open(folder) as opened:
        _report(opened.info(), as_json)


@index.command("verify")
def verify(folder: INDEX, as_json: JSON = False) -> None:
    """Read all of an index and prove that it is whole; problems make the exit code 1.

    **Examples**

    `perisphere index verify index`
    """
    from perisphere.index import Index

    with Index.open(folder) as opened:
        problems, images = opened.verify(), len(opened)
    if as_json:
        typer.echo(json.dumps({"images": images, "problems": problems}))
    else:
        for problem in problems:
            typer.echo(problem)
        if not problems:
            typer.echo(f"{images:,} images, all whole")
    if problems:
        raise PerisphereError(f"{folder}: {len(problems)} problems found. Restore it, or make it anew.")


@index.command("compact")
def compact(folder: INDEX, as_json: JSON = False) -> None:
    """Reclaim the space of removed images, join small blocks, and build lost search files again.

    **Examples**

    `perisphere index compact index`
    """
    from perisphere.index import Index

    with Index.open(folder) as opened:
        before = opened.info()["bytes"]
        reclaimed = opened.compact()
        after = opened.info()["bytes"]
    if as_json:
        typer.echo(json.dumps({"reclaimed": reclaimed, "bytes_before": before, "bytes": after}))
    else:
        typer.echo(f"{reclaimed:,} removed images reclaimed: {_bytes(before)} became {_bytes(after)}")


@index.command("duplicates")
def duplicates(
    folder: INDEX,
    threshold: Annotated[float, typer.Option(help="Least cosine of a pair, up to 1.")] = 0.98,
    image: Annotated[
        Path | None, typer.Option(help="Check this photo against the index, instead of all pairs.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Show groups of near-duplicates, or whether one photo is in the index already.

    **Examples**

    `perisphere index duplicates index --threshold 0.95`

    `perisphere index duplicates index --image photo.jpg`
    """
    from perisphere.index import Index

    with Index.open(folder) as opened:
        if image is None:
            groups = opened.duplicates(threshold).groups()
            known = _named(opened, [id_ for group in groups for id_ in group])
            _show_groups([[known[id_] for id_ in group if id_ in known] for group in groups], as_json)
            return
        encoder = opened.encoder()
        if encoder is None:
            raise PerisphereError(
                f"{folder}: holds no encoder to read {image} with. Create it with --encoder."
            )
        near = opened.near(encoder.encode([image])[0], threshold)
        known = _named(opened, [id_ for id_, _ in near])
        results = [{**known[id_], "score": round(score, 6)} for id_, score in near if id_ in known]
    if as_json:
        typer.echo(json.dumps(results))
    elif results:
        for result in results:
            typer.echo(f"{result['score']:.4f}  {result['id']}  {_words(result)}")
    else:
        typer.echo(f"{printable(str(image))}: no near-duplicate in the index")


@index.command("calibrate")
def calibrate(
    folder: INDEX,
    source: Annotated[
        str,
        typer.Option(help="labels, copies (altered photos, for indexes without labels), or auto."),
    ] = "auto",
    metric: Annotated[str | None, typer.Option(help="cosine, l2 or l1; default: the index's own.")] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="Only the images of this split; may be repeated. Default: all but train, where they do."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    as_json: JSON = False,
) -> None:
    """Measure how precise results of each score are, so that searches can cut by precision.

    Photos that the encoder has learned from would promise too much, so those of the split `train` are left
    out where the other labelled photos are enough.

    **Examples**

    `perisphere index calibrate index`

    `perisphere index calibrate index --split val --split test`

    `perisphere index calibrate index --source copies`
    """
    from perisphere.index import Index
    from perisphere.index.splits import LEARNED

    with Index.open(folder) as opened:
        found = opened.calibrate(source=source, metric=metric, splits=split, seed=seed)
    if as_json:
        typer.echo(found.to_json())
        return
    typer.echo(f"{found.pairs:,} pairs of {found.source}, {found.relevant:,} of them right")
    typer.echo(f"measured on {_splits(found.splits)}")
    if LEARNED in found.splits:
        typer.echo(f"an encoder that has learned from the split {LEARNED} will do worse on new photos")
    for precision in (0.5, 0.9, 0.99):
        if precision <= found.precisions[-1]:
            score = found.threshold(precision)
            typer.echo(f"results that score {score:.4f} or more are right in {precision:.0%} of the cases")


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"--ids {text!r}: give whole numbers with commas between, e.g. 1,2,9.") from None


def _named(opened: "Index", ids: list[int]) -> dict[int, dict[str, Any]]:
    """Return id, path and label of each of ``ids`` that is in the index still."""
    rows = opened.rows(ids, missing_ok=True).select("id", "path", "label")
    return {row["id"]: row for row in rows.iter_rows(named=True)}


def _words(row: dict[str, Any]) -> str:
    return "  ".join(printable(row[name]) for name in ("path", "label") if row[name]) or "-"


def _show_groups(groups: list[list[dict[str, Any]]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(groups))
        return
    for number, group in enumerate(groups, start=1):
        typer.echo(f"group {number}")
        for member in group:
            typer.echo(f"  {member['id']}  {_words(member)}")
    typer.echo(f"{len(groups)} groups of near-duplicates, {sum(map(len, groups))} images")


def _report(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for name, value in _lines(facts):
        typer.echo(f"{name:14} {printable(value)}")


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    encoder, ann, there = facts["encoder"], facts["ann"], facts["store"]
    named = "none" if encoder is None else f"{encoder['name'] or 'unnamed'} ({encoder['identity']})"
    blocks = f", {facts['blocks']:,} blocks" if there is None else ""
    lines = [
        ("index", facts["folder"]),
        ("images", f"{facts['images']:,} x {facts['dim']}"),
        ("metric", facts["metric"]),
        ("encoder", named),
        ("size", _size(facts)),
        ("identities", _identities(facts)),
        ("debt", f"{facts['tombstones']:,} removed images not reclaimed{blocks}"),
        ("calibrated", _calibrated(facts)),
    ]
    if there is not None:
        lines.insert(1, ("store", f"{there['address']}, collection {there['collection']}"))
        return [*lines, ("search", there["search"])]
    if facts["regions"] is not None:
        lines.insert(-2, ("regions", _regions(facts["regions"])))
    if facts["codes"] is not None:
        lines.insert(-2, ("codes", _codes(facts["codes"], facts["images"])))
        return [*lines, ("search", "by codes")]
    if ann is None:
        asked = "" if facts["recall"] is None else f" (recall {facts['recall']} from 50,000 images on)"
        return [*lines, ("search", f"exact{asked}")]
    lines.append(("search", f"{ann['factory']}: {ann['state']}"))
    for k, effort in ann["efforts"].items():
        how = "exact: nothing faster finds enough"
        if effort is not None:
            how = (
                f"nprobe {effort['nprobe']}, k_factor {effort['k_factor']}: recall {effort['recall']} "
                f"(asked: {ann['asked']}), {effort['ms']} ms a query instead of {effort['exact_ms']}"
            )
        lines.append((f"up to {k}", how))
    return lines


def _size(facts: dict[str, Any]) -> str:
    if facts["store"] is not None:
        return f"{_bytes(facts['bytes'])}, the folder alone"
    each = f", {facts['bytes_per_image']:,.0f} an image" if facts["images"] else ""
    return _bytes(facts["bytes"]) + each


def _identities(facts: dict[str, Any]) -> str:
    if not facts["identities"]:
        return "no image has a label"
    kept = {"beside": "centroids beside the images", "only": "centroids only", None: "no centroids"}
    size = facts["bytes_per_identity"]
    each = "" if size is None else f", {_bytes(size)} each"
    return f"{facts['identities']:,}{each}; {kept[facts['centroids']]}"


def _regions(found: dict[str, Any]) -> str:
    each = ", ".join(f"{count:,} {concept}" for concept, count in found["concepts"].items())
    vectors = f"{found['vectors']:,} with a vector" if found["vectors"] else "without vectors"
    return f"{found['regions']:,} of {found['photos']:,} photos, {vectors}: {each or 'nothing found'}"


def _codes(codes: dict[str, Any], images: int) -> str:
    where = {"beside": "beside the vectors", "only": "instead of vectors"}[codes["mode"]]
    size = f", {codes['bytes'] / images:.1f} bytes an image" if images else ""
    return f"{codes['kind']}, {codes['bits']} bits{size}, {where} ({codes['fingerprint']})"


def _calibrated(facts: dict[str, Any]) -> str:
    if not facts["calibration"]:
        return "no"
    splits = facts["calibration_splits"]
    return f"on {facts['calibration']}" + (f", {_splits(splits)}" if splits else "")


def _splits(splits: Sequence[str]) -> str:
    known = [printable(split) for split in splits if split]
    named = [f"{'split' if len(known) == 1 else 'splits'} {', '.join(known)}"] if known else []
    return " and ".join([*named, *(["images without a split"] if "" in splits else [])])


def _bytes(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"
