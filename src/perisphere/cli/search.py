"""``perisphere search``: the nearest images or identities of a photo, of several, of a class or a text."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perisphere.cli.main import app
from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.encoder import Encoder
    from perisphere.index.regions import Region
    from perisphere.search import Answer, ClassQuery, Part, Photos, Results, TextQuery
    from perisphere.search.rerank import Chain
    from perisphere.tags import Tags
    from perisphere.tags.concepts.concept_words import ConceptWords
    from perisphere.taxonomy import ClassPoints

INDEX = Annotated[Path, typer.Argument(help="An index folder.", show_default=False)]
ENCODER = Annotated[
    Path | None, typer.Option("--encoder", "-e", help="The encoder, where the index holds none.")
]
CLASS = Annotated[
    list[str] | None,
    typer.Option("--class", help="Search for a class, an inner one of the taxonomy too, by name or id."),
]
CLASSES = Annotated[
    Path | None,
    typer.Option(help="Class points (.npz, .json, .pickle), where the index's encoder knows none."),
]
TEXT = Annotated[
    list[str] | None,
    typer.Option(
        "--text", help="Search for words: as a point, where the encoder knows tags; else in what is written."
    ),
]
BY = Annotated[
    str | None,
    typer.Option(
        help="vectors, words (with --text: captions, categories and regions together) or regions; default: "
        "what the index is made for."
    ),
]
MAPPING = Annotated[
    list[Path] | None,
    typer.Option(
        help="More words of concepts: WORD, LANGUAGE, CONCEPT, with tabs between.", show_default=False
    ),
]
REGION = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="X0,Y0,X1,Y1",
        help="Search with this part of the photo: pixels, or shares of width and height (0.1,0,0.5,0.6).",
    ),
]
TAGS = Annotated[
    Path | None,
    typer.Option(metavar="TAGS|ENCODER", help="Tags, where the encoder knows none.", show_default=False),
]
METRIC = Annotated[str | None, typer.Option(help="cosine, l2 or l1; default: the index's own.")]
FILTER = Annotated[
    str | None,
    typer.Option(
        "--filter", "-f", metavar="EXPR", help="Only these, e.g. `label == 'dome' and camera != 2`."
    ),
]
LABEL = Annotated[
    list[str] | None,
    typer.Option(help="The true label of the query; with --each once for all photos, or once for each."),
]
EACH = Annotated[
    bool, typer.Option("--each", help="Search with each photo by itself; without it all are one query.")
]
AMONG = Annotated[
    str | None,
    typer.Option(
        help="photos, centroids (one result a label) or centroids-then-photos; default: photos, where the "
        "index keeps them."
    ),
]
IDENTITIES = Annotated[
    int | None,
    typer.Option(
        "--identities",
        "-n",
        help="centroids-then-photos: how many centroids choose the photos (default: 10).",
    ),
]
EXCLUDE_SELF = Annotated[
    bool, typer.Option("--exclude-self", help="Leave the photo's own file out of its results.")
]
EXACT = Annotated[bool, typer.Option("--exact", help="Search exactly, whatever the index was tuned for.")]
SHORTLIST = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Indexes with codes: rank so many of the best codes by their vectors; 0: by codes alone. "
        "Default: 100, or 2k.",
    ),
]
SYMMETRIC = Annotated[
    bool, typer.Option("--symmetric", help="Indexes with codes: search with the query's code, too.")
]
RERANK = Annotated[
    str | None,
    typer.Option(
        metavar="CHAIN",
        help="Re-rank, e.g. `aqe(n=10,alpha=3)+kreciprocal`: label, softlabel, aqe, alphaqe, dba, "
        "kreciprocal, diffusion, geometric.",
    ),
]
MATCHES = Annotated[
    Path | None,
    typer.Option(help="Draw the features that agree between photo and result into this .jpg or .png."),
]
SHEET = Annotated[Path | None, typer.Option(help="Draw photos and results into this .jpg or .png.")]
AS_JSON = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@app.command("search")
def search(
    index: INDEX,
    query: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A photo, or several of one thing: their centroid is the query.", show_default=False
        ),
    ] = None,
    each: EACH = False,
    of_class: CLASS = None,
    classes: CLASSES = None,
    text: TEXT = None,
    tags: TAGS = None,
    mapping: MAPPING = None,
    region: REGION = None,
    by: BY = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Results a query, at most.")] = 5,
    among: AMONG = None,
    identities: IDENTITIES = None,
    metric: METRIC = None,
    where: FILTER = None,
    min_score: Annotated[float | None, typer.Option(help="Leave out what scores lower.")] = None,
    min_precision: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Cut where fewer than this share are right (calibrated indexes)."),
    ] = None,
    exact: EXACT = False,
    shortlist: SHORTLIST = None,
    symmetric: SYMMETRIC = False,
    encoder: ENCODER = None,
    label: LABEL = None,
    exclude_self: EXCLUDE_SELF = False,
    rerank: RERANK = None,
    matches: MATCHES = None,
    sheet: SHEET = None,
    as_json: AS_JSON = False,
) -> None:
    """Find the images of an index that resemble a photo or several photos, belong to a class, or fit a text.

    Several photos are one query, their centroid; `--each` searches with each by itself. Among centroids (the
    index has to keep them) each label is one result; with a filter, the centroid of the photos that pass.

    The score is the cosine (for L2 and L1 the negated distance). Where the index is calibrated, the precision
    beside it is the share of right results from this score upwards. In the sheet, results are framed green
    where they have the photo's label and red where they have another; a photo that is in the index brings its
    label with it. The results of a class are right where their label is the class or lies below it.

    `--text` with an encoder that was trained towards tags is the mean direction of the tags in the text.
    Words that are no tag are named, with the nearest that are. Each `--text` and each `--class` is a query
    by itself, beside the photos. With another encoder, or `--by words`, the words are sought in labels,
    captions, categories, tags and concepts, those of concepts in many languages, together with the regions
    that a segmentation found (`index regions`). `--by regions` goes by these alone. Regions of
    the concepts in the text are shown with each result.

    `--region` searches with one part of a photo. An index with vectors of regions compares it with these and
    shows the region that is most like it; else the part is cut out and embedded.

    **Examples**

    `perisphere search index photo.jpg`

    `perisphere search index front.jpg side.jpg --among centroids --sheet who.jpg`

    `perisphere search index *.jpg --each -k 10 --filter "split == 'index' and camera != 2" --sheet all.jpg`

    `perisphere search index photo.jpg --exclude-self --min-precision 0.9 --json`

    `perisphere search index --class mammal --class "great ape" --sheet result.jpg`

    `perisphere search index --text "sunset beach" -k 20 --sheet beach.jpg`

    `perisphere search index --text "portal with statues" --by words --sheet portals.jpg`

    `perisphere search index photo.jpg --region 0.3,0.4,0.7,1 --exclude-self --sheet alike.jpg`

    `perisphere search index photo.jpg --rerank "aqe(n=10,alpha=3)+geometric(n=20)" --matches lines.png`
    """
    from perisphere.index import Index
    from perisphere.search import Part, search_images, search_parts, search_words
    from perisphere.search.ways import way_of

    _check(classes, of_class, tags, text, (sheet, matches))
    photos, named = _queries(query or [], of_class or [], text or [], each, region or [])
    queries = [*photos, *named]
    vocabulary = given_words(mapping)
    of_all: dict[str, Any] = {"where": where, "min_score": min_score}
    of_photos: dict[str, Any] = {
        "encoder": given_encoder(encoder),
        "labels": each_label(label, len(photos), len(named)),
        "exclude_self": exclude_self,
    }
    of_vectors: dict[str, Any] = {
        "tags": given_tags(tags),
        "among": among,
        "identities": identities,
        "metric": metric,
        "min_precision": min_precision,
        "exact": exact,
        "shortlist": shortlist,
        "symmetric": symmetric,
        "rerank": given_chain(rerank),
    }
    with Index.open(index) as opened:
        way = way_of(opened, queries, by, of_photos["encoder"], of_vectors["tags"])
        if vocabulary is not None and (way == "vectors" or not text):
            raise UsageError("--mapping says what words of --text mean: give --text with --by words.")
        if way != "vectors":
            _refuse(way, of_vectors | {"matches": matches} | (of_photos if text else {}))
        if way == "vectors":
            points = given_classes(classes)
            results = search_images(opened, queries, k, classes=points, **of_photos, **of_vectors, **of_all)
        elif text:
            trust = 1.0 if way == "words" else 0.0
            results = search_words(opened, text, k, vocabulary=vocabulary, words=trust, **of_all)
        else:
            parts = [part for part in queries if isinstance(part, Part)]
            results = search_parts(opened, parts, k, **of_photos, **of_all)
        facts: dict[str, Any] = {"index": str(opened.folder), "images": len(opened)}
        facts["centroids"] = None if results.among == "photos" else len(opened.centroids())
    _warn(results)
    drawn = _draw(results, of_vectors["rerank"], sheet, matches)
    if as_json:
        typer.echo(json.dumps({**facts, **results.to_dict()}, indent=2))
        return
    _show(results, facts["images"], facts["centroids"])
    for line in drawn:
        typer.echo(line)


def _check(
    classes: Path | None,
    of_class: list[str] | None,
    tags: Path | None,
    text: list[str] | None,
    pictures: tuple[Path | None, ...],
) -> None:
    """Refuse pictures of an unknown form, and class points and tags that nothing is searched for with."""
    from perisphere.search.sheet import sheet_format

    for picture in pictures:
        if picture is not None:
            sheet_format(picture)
    if classes is not None and not of_class:
        raise UsageError(
            "--classes holds what --class can search for. Name a class with --class, or leave it out."
        )
    if tags is not None and not text:
        raise UsageError("--tags holds what --text can search for. Name words with --text, or leave it out.")


def _queries(
    files: list[Path], classes: list[str], texts: list[str], each: bool, regions: list[str]
) -> "tuple[Sequence[Path | Photos | Part], list[ClassQuery | TextQuery]]":
    """Return the photos, several as one query unless each is searched by itself, and classes and texts."""
    from perisphere.search import ClassQuery, Photos, TextQuery

    together = len(files) > 1 and not each
    named: list[ClassQuery | TextQuery] = [ClassQuery(name) for name in classes]
    named += [TextQuery(text) for text in texts]
    if regions:
        return _parts(files, regions, together), named
    return [Photos(tuple(files))] if together else files, named


def _parts(files: list[Path], regions: list[str], together: bool) -> "list[Part]":
    """Give every photo its region: one for all, or one each."""
    from perisphere.search.part import Part, parse_box

    if not files or together:
        raise UsageError("--region is a part of a photo: name one photo, or several with --each.")
    if len(regions) not in (1, len(files)):
        raise UsageError(f"{len(regions)} regions for {len(files)} photos. Give one for all, or one a photo.")
    boxes = [parse_box(region) for region in regions]
    return [Part(file, box) for file, box in zip(files, boxes * (len(files) // len(boxes)), strict=True)]


def _refuse(way: str, options: dict[str, Any]) -> None:
    """Refuse options that were given and mean something for vectors of photos alone."""
    spelled = {"labels": "label", "identities": "identities (-n)"}
    for name, value in options.items():
        if value is not None and value is not False:
            option = f"--{spelled.get(name, name).replace('_', '-')}"
            raise UsageError(
                f"{option} means nothing to a search by {way}: leave it out, or use --by vectors."
            )


def given_words(files: list[Path] | None) -> "ConceptWords | None":
    """Return the words of concepts, those of ``--mapping`` over the built-in ones."""
    if not files:
        return None
    from perisphere.tags.concepts.concept_words import ConceptWords, read_entries

    own = [entry for file in files for entry in read_entries(file)]
    return ConceptWords([*ConceptWords.built_in().entries, *own])


def _warn(results: "Results") -> None:
    """Name the words of texts that are no tag, or that no photo has, on stderr."""
    from perisphere.search import TextQuery

    for answer in results.answers:
        if isinstance(answer.image, TextQuery):
            for word, near in answer.image.unknown.items():
                offer = f" Nearest: {', '.join(near)}." if near else ""
                none = "no tag is called" if results.metric != "words" else "no photo has"
                line = f"--text {answer.image.text!r}: {none} {word!r}, it is left out.{offer}"
                typer.echo(printable(line), err=True)


def _draw(results: "Results", chain: "Chain | None", sheet: Path | None, matches: Path | None) -> list[str]:
    """Draw what was asked for, and return a line about each picture."""
    from perisphere.catalog.images import display
    from perisphere.search import write_sheet
    from perisphere.search.matches import write_matches
    from perisphere.search.rerank import GeometricVerification

    lines = []
    if sheet is not None:
        lines.append(f"sheet: {display(write_sheet(sheet, results.answers))}")
    if matches is not None:
        steps = () if chain is None else chain.steps
        verifying = [step for step in steps if isinstance(step, GeometricVerification)]
        write_matches(matches, results.answers, verifying[-1] if verifying else None)
        lines.append(f"matches: {display(matches)}")
    return lines


def given_encoder(folder: Path | None) -> "Encoder | None":
    """Load the encoder of ``--encoder``."""
    if folder is None:
        return None
    from perisphere.encoder import Encoder

    return Encoder.load(folder)


def given_chain(text: str | None) -> "Chain | None":
    """Read the re-rankers of ``--rerank``."""
    if text is None:
        return None
    from perisphere.search.rerank import parse_chain

    return parse_chain(text)


def given_classes(file: Path | None) -> "ClassPoints | None":
    """Load the class points of ``--classes``."""
    if file is None:
        return None
    from perisphere.taxonomy import ClassPoints

    return ClassPoints.load(file)


def given_tags(folder: Path | None) -> "Tags | None":
    """Load the tags of ``--tags``: a folder of tags, or an encoder that carries some."""
    if folder is None:
        return None
    from perisphere.encoder.named import tags_at

    return tags_at(folder)


def each_label(labels: list[str] | None, photos: int, named: int = 0) -> list[str | None] | None:
    """Give every photo its label: one for all, or one each; classes and texts, which follow, have none."""
    if not labels:
        return None
    if len(labels) != photos and (len(labels) > 1 or not photos):
        raise UsageError(f"{len(labels)} labels for {photos} queries. Give one a query.")
    return [*(labels * photos if len(labels) == 1 else labels), *[None] * named]


def table(rows: list[list[str]]) -> list[str]:
    """Align the columns of a table, its head first; a head that starts with a blank is over numbers."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [cell.startswith(" ") for cell in rows[0]]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def printable(text: str) -> str:
    """Escape what would break a line or a table: line ends, controls, bytes that are no text."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    byte = ord(character) - 0xDC00  # of a file name that is not UTF-8
    return rf"\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape").decode()


def _show(results: "Results", images: int, centroids: int | None) -> None:
    for answer in results.answers:
        known = answer.label or answer.note
        typer.echo(printable(f"{answer.name} ({known})" if known else answer.name))
        lines = _lines(answer) if answer.results else ["no result" + _cut(results)]
        typer.echo("\n".join(f"  {line}" for line in lines) + "\n")
    kept = "" if centroids is None else f"{centroids:,} centroids of "
    typer.echo(f"{kept}{images:,} images, {results.metric}, {results.road}{_cut(results)}")


def _lines(answer: "Answer") -> list[str]:
    calibrated = any(result.precision is not None for result in answer.results)
    reranked = any(result.rerank is not None for result in answer.results)
    counted = any(result.count is not None for result in answer.results)
    shown = any(result.regions for result in answer.results)
    head = [" rank", " score", " id", "label", *(["region"] if shown else []), "path"]
    head[3:3] = [" photos"] if counted else []
    head[2:2] = [" precision"] if calibrated else []
    head[1:1] = [" re-rank"] if reranked else []
    rows = [
        [
            str(result.rank),
            *([f"{result.rerank:.4g}"] if result.rerank is not None else []),
            f"{result.score:.4f}",
            *([f"{result.precision:.1%}"] if result.precision is not None else []),
            str(result.id),
            *([f"{result.count:,}"] if result.count is not None else []),
            result.label or "-",
            *([", ".join(map(_region, result.regions)) or "-"] if shown else []),
            result.path or "-",
        ]
        for result in answer.results
    ]
    return table([head, *rows])


def _region(region: "Region") -> str:
    return f"{region.concept} {','.join(map(str, region.box))}"


def _cut(results: "Results") -> str:
    return "" if results.min_score is None else f", score at least {results.min_score:.4g}"
