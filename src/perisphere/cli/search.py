"""``perisphere search``: the nearest images or identities of a photo, of several, of a class or a text."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perisphere.cli.main import app
from perisphere.cli.queries import Asked
from perisphere.cli.runtimes import RUNTIME
from perisphere.encoder.runtimes.names import Runtime
from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.encoder import Encoder
    from perisphere.index import Index
    from perisphere.index.regions import Region
    from perisphere.search import Answer, Query, Results
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
        "--text",
        help="Search for a text: a point, where the encoder knows texts or tags; else its words.",
    ),
]
ID = Annotated[
    list[int] | None,
    typer.Option("--id", min=1, help="Search for more like this photo of the index, by its id."),
]
UNLIKE = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PHOTO|ID",
        help="A counter-example: a photo, or one of the index by its id.",
        show_default=False,
    ),
]
WEIGHT = Annotated[
    list[float] | None,
    typer.Option(help="Weights of the examples of one query, in the order photos, --id, --class, --text."),
]
TOGETHER = Annotated[
    bool, typer.Option("--together", help="All that is named is one query, words beside photos too.")
]
GAMMA = Annotated[float | None, typer.Option(min=0, help="Weight of the counter-examples (default: 0.5).")]
WORDS_WEIGHT = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Share of the words in the score beside photos (default: 0.5)."),
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
        help="Search with this part of the photo, of one by --id too: pixels, or shares of width and height "
        "(0.1,0,0.5,0.6).",
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
    together: TOGETHER = False,
    ids: ID = None,
    unlike: UNLIKE = None,
    weight: WEIGHT = None,
    gamma: GAMMA = None,
    words_weight: WORDS_WEIGHT = None,
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
    runtime: RUNTIME = None,
    label: LABEL = None,
    exclude_self: EXCLUDE_SELF = False,
    rerank: RERANK = None,
    matches: MATCHES = None,
    sheet: SHEET = None,
    as_json: AS_JSON = False,
) -> None:
    """Find the images of an index that resemble a photo or several photos, belong to a class, or fit a text.

    Several photos, files or photos of the index by their `--id`, are one query, their centroid; `--each`
    searches with each by itself. A photo that is named by its id is left out of the results. Among
    centroids (the index has to keep them) each label is one result; with a filter, the centroid of the photos
    that pass.

    `--unlike` names counter-examples: every query turns away from them, the more the larger `--gamma`.
    `--together` makes one query of all that is named, classes and texts too; `--weight`, once for each in the
    order photos, ids, classes, texts, says how much each counts. Words that are sought count beside the
    examples by `--words-weight`.

    The score is the cosine (for L2 and L1 the negated distance). Where the index is calibrated, the precision
    beside it is the share of right results from this score upwards. In the sheet, results are framed green
    where they have the photo's label and red where they have another; a photo that is in the index brings its
    label with it. The results of a class are right where their label is the class or lies below it.

    `--text` with an encoder that reads texts (CLIP, SigLIP) is the point of the text; with one that was
    trained towards tags, the mean direction of the tags in it; words that are no tag are named, with the
    nearest that are. Each `--text` and each `--class` is a query by itself, beside the photos. With another
    encoder, or `--by words`, the words are sought in labels, captions, categories, tags and concepts, those
    of concepts in many languages, together with the regions that a segmentation found (`index regions`).
    `--by regions` goes by these alone. Regions of the concepts in the text are shown with each result.

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

    `perisphere search index --id 17 --id 40 --unlike 3 --unlike wrong.jpg`

    `perisphere search index photo.jpg --text "ulamar portal" --together --words-weight 0.5`

    `perisphere search index photo.jpg --class castle --together --weight 1 --weight 2`

    `perisphere search index photo.jpg --region 0.3,0.4,0.7,1 --exclude-self --sheet alike.jpg`

    `perisphere search index photo.jpg --rerank "aqe(n=10,alpha=3)+geometric(n=20)" --matches lines.png`
    """
    from perisphere.index import Index
    from perisphere.search import search as answer

    _check(classes, of_class, tags, text, (sheet, matches))
    asked = Asked(
        query or [],
        region or [],
        ids or [],
        of_class or [],
        text or [],
        unlike or [],
        weight or [],
        label or [],
        each,
        together,
    )
    chain, vocabulary = given_chain(rerank), given_words(mapping)
    options = {
        "by": by,
        "k": k,
        "where": where,
        "among": among,
        "identities": identities,
        "metric": metric,
        "min_score": min_score,
        "min_precision": min_precision,
        "exact": exact,
        "shortlist": shortlist,
        "symmetric": symmetric,
        "rerank": chain,
        "exclude_self": exclude_self,
        **_weights(asked, gamma, words_weight),
    }
    known_tags = given_tags(tags)
    with Index.open(index) as opened:
        maker = _maker(opened, encoder, runtime)
        points = bool(text) and (by == "vectors" or (by is None and _points(opened, maker, known_tags)))
        queries = asked.queries(texts_are_points=points, **options)
        _check_weights(vocabulary, gamma, words_weight, queries)
        results = answer(
            opened,
            queries,
            encoder=maker,
            classes=given_classes(classes),
            tags=known_tags,
            vocabulary=vocabulary,
        )
        facts: dict[str, Any] = {"index": str(opened.folder), "images": len(opened)}
        found_centroids = any(found.among != "photos" for found in results.answers)
        facts["centroids"] = len(opened.centroids()) if found_centroids else None
    _warn(results)
    drawn = _draw(results, chain, sheet, matches)
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


def _points(index: "Index", encoder: "Encoder | None", tags: "Tags | None") -> bool:
    """Say whether texts are points in the space of the index."""
    from perisphere.search.spaces import Spaces

    return Spaces(index, encoder, given_tags=tags).of_texts is not None


def _weights(asked: Asked, gamma: float | None, words_weight: float | None) -> dict[str, float]:
    """Return the weights that were given."""
    if gamma is not None and not asked.unlike:
        raise UsageError("--gamma weighs counter-examples: name one with --unlike, or leave it out.")
    given = {"gamma": gamma, "words_weight": words_weight}
    return {name: value for name, value in given.items() if value is not None}


def _check_weights(
    vocabulary: "ConceptWords | None",
    gamma: float | None,
    words_weight: float | None,
    queries: "Sequence[Query]",
) -> None:
    """Refuse weights, and words of concepts, that change nothing in these queries."""
    if gamma is not None and not any(query.like for query in queries):
        raise UsageError(
            "--gamma weighs counter-examples against examples, and there are none: leave it out. How much "
            "words count beside counter-examples alone is --words-weight."
        )
    words = [query for query in queries if query.words is not None]
    if vocabulary is not None and not words:
        raise UsageError("--mapping says what words of --text mean: give --text with --by words.")
    if words_weight is not None and not any(query.like or query.unlike for query in words):
        raise UsageError(
            "--words-weight is the share of words beside photos: give --text and --together, in an index "
            "whose encoder knows no texts; or leave it out."
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
    for answer in results.answers:
        for text in answer.texts:
            none = "no photo has" if text is answer.words else "no tag is called"
            for word, near in text.unknown.items():
                offer = f" Nearest: {', '.join(near)}." if near else ""
                line = f"--text {text.text!r}: {none} {word!r}, it is left out.{offer}"
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


def _maker(index: "Index", folder: Path | None, runtime: Runtime | None) -> "Encoder | None":
    """Return what embeds photos: the encoder of ``--encoder`` or the index's, run by ``--runtime``."""
    if folder is None and runtime is None:
        return None
    from perisphere.encoder.runtimes.identified import load_identified
    from perisphere.search.index_encoder import the_encoder

    made_with = index.info()["encoder"] or {}
    given = None if folder is None else load_identified(folder, made_with.get("identity"))
    return the_encoder(index, given).on(runtime)


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
        lines = _lines(answer) if answer.results else ["no result" + _cut(answer)]
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


def _cut(found: "Answer | Results") -> str:
    return "" if found.min_score is None else f", score at least {found.min_score:.4g}"
