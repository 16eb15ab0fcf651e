"""``perisphere tags``: words of users as points on the sphere, built, imported, shown, compared."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from perisphere.cli.main import app
from perisphere.errors import UsageError, nearest

if TYPE_CHECKING:
    from perisphere.tags import Tags

tags = typer.Typer(help="Tags of users: vocabulary, vectors, merges.", no_args_is_help=True)
app.add_typer(tags, name="tags")

TagsFolder = Annotated[Path, typer.Argument(metavar="TAGS", help="A folder of `perisphere tags build`.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The new folder of tags.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@tags.command("build")
def build(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder, from `perisphere read`.")],
    out: Out,
    source: Annotated[
        str, typer.Option("--from", help="Columns, with commas: tags, captions, categories, concepts.")
    ] = "tags",
    vectors: Annotated[
        Path | None,
        typer.Option(help="Word vectors: word2vec, GloVe or fastText, .gz too; learned here if not given."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Photos that count; `train` where there are some if not given.")
    ] = None,
    min_count: Annotated[int, typer.Option(min=1, help="Photos that a tag must stand on.")] = 5,
    merge: Annotated[
        bool, typer.Option("--merge/--no-merge", help="Make one tag of spellings of one word.")
    ] = True,
    near: Annotated[
        float | None,
        typer.Option(
            min=0.5, max=1, help="Cosine from which vectors are one tag; 0.9 of a file, none if learned."
        ),
    ] = None,
    dim: Annotated[int, typer.Option(min=2, help="Dimensions of vectors learned here, at most.")] = 300,
    enhance: Annotated[
        bool | None,
        typer.Option(
            "--enhance/--no-enhance",
            help="Move vectors toward those of correlated tags, as vectors of a file do if nothing is said.",
        ),
    ] = None,
    strength: Annotated[
        float | None, typer.Option(min=0, max=1, help="How far they move; 0.3 if not given.")
    ] = None,
    correlated: Annotated[int, typer.Option(min=1, help="The most correlated tags that count.")] = 10,
    by: Annotated[
        Literal["photos", "vectors"],
        typer.Option(help="Correlated by photos with both, or by their vectors."),
    ] = "photos",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Cosine from which --by vectors correlates.")
    ] = 0.5,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Make tags of what users typed: count, merge, give each a vector, let correlated ones lend meaning.

    Case, accents and separators are levelled; Flickr's machine tags and numbers are dropped. Tags whose
    spelling, number or vector is the same become one. What became of every word, and why, is in
    `TAGS/merges.tsv`.

    **Examples**

    `perisphere tags build catalog -o tags`

    `perisphere tags build catalog --vectors GoogleNews-vectors-negative300.bin.gz -o tags`

    `perisphere tags build catalog --from tags,captions --min-count 10 --strength 0.5 -o tags`

    `perisphere tags build catalog --vectors glove.6B.300d.txt --by vectors --threshold 0.6 -o tags --json`
    """
    from perisphere.catalog import Catalog
    from perisphere.catalog.tag_words import tag_words
    from perisphere.storage import check_replaceable
    from perisphere.tags.build import Making, build_tags

    columns = _columns(source)
    making = Making(min_count, merge, near, dim, _strength(enhance, strength), correlated, by, threshold)
    check_replaceable(out, overwrite)
    photos = Catalog.load(catalog)
    split = split or ("train" if "train" in photos.splits() else None)
    about = {"from": columns, "split": split}
    made, account = build_tags(
        tag_words(photos.select(split=split).table, columns), making, vectors=vectors, about=about
    )
    made.save(out, overwrite=overwrite)
    from perisphere.cli.tags_text import account_facts, print_account

    if as_json:
        typer.echo(
            json.dumps({"written": str(out), **account_facts(made, account)}, indent=2, ensure_ascii=False)
        )
    else:
        print_account(made, account)
        typer.echo(f"written: {out}")


@tags.command("import")
def import_published(
    folder: Annotated[Path, typer.Argument(help="A published data folder, such as data/flickr25k.")],
    out: Out,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Read the tags that were published with WSDHQ; nothing in the pickle is run.

    The folder holds `tags/FinalTagEmbs.txt`, `tags/TagIdMergeMap.pkl`, and `common_tags.txt` or
    `TagList1k.txt`.

    **Examples**

    `perisphere tags import data/flickr25k -o flickr-tags`

    `perisphere tags import data/nus-wide -o nus-tags --json`
    """
    from perisphere.storage import check_replaceable
    from perisphere.tags.published import read_published

    check_replaceable(out, overwrite)
    made = read_published(folder)
    made.save(out, overwrite=overwrite)
    facts = {"written": str(out), "tags": len(made), "dim": made.dim, "words": len(made.merges)}
    typer.echo(json.dumps(facts) if as_json else f"{_size(made)}\nwritten: {out}")


@tags.command("show")
def show(
    folder: TagsFolder,
    top: Annotated[int, typer.Option(min=0, help="How many of the commonest to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Print the commonest tags, the words that became each, and how many were dropped and why.

    **Examples**

    `perisphere tags show tags`

    `perisphere tags show tags --top 100 --json`
    """
    from perisphere.cli.tags_text import facts_of, print_tags
    from perisphere.tags import Tags

    found = facts_of(Tags.load(folder), top)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print_tags(str(folder), found)


@tags.command("nearest")
def nearest_tags(
    folder: TagsFolder,
    text: Annotated[list[str], typer.Argument(metavar="WORD...", help="A tag, or several: their mean.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Print the tags whose vectors are nearest to a word's, or to the mean of several.

    **Examples**

    `perisphere tags nearest tags sunset`

    `perisphere tags nearest tags sunset beach -k 5 --json`
    """
    from perisphere.cli.search import printable
    from perisphere.tags import Tags

    made = Tags.load(folder)
    point = made.point(" ".join(text))
    for word in point.unknown:
        near = ", ".join(made.nearest(word))
        typer.echo(
            printable(f"no tag is called {word!r}" + (f" (nearest: {near})" if near else "")), err=True
        )
    rows, cosines = made.neighbours(point.vector[None], k)
    found = [
        {"tag": made.names[row], "cosine": round(float(cosine), 6), "photos": int(made.counts[row])}
        for row, cosine in zip(rows[0], cosines[0], strict=True)
    ]
    if as_json:
        asked = {"known": list(point.known), "unknown": list(point.unknown)}
        typer.echo(json.dumps({**asked, "nearest": found}, indent=2, ensure_ascii=False))
        return
    for item in found:
        typer.echo(f"{item['cosine']:7.4f}  {printable(str(item['tag']))}  ({item['photos']:,} photos)")


def _strength(enhance: bool | None, strength: float | None) -> float | None:
    """Return how far vectors move; ``None``: as far as is usual for where they come from."""
    from perisphere.tags.build import STRENGTH

    if enhance is False and strength:
        raise UsageError(f"--no-enhance leaves the vectors, and --strength {strength} moves them: drop one.")
    if enhance is None:
        return strength
    return (STRENGTH if strength is None else strength) if enhance else 0.0


def _columns(source: str) -> list[str]:
    from perisphere.catalog.tag_words import SOURCES

    columns = [name.strip() for name in source.split(",")]
    for name in columns:
        if name not in SOURCES:
            known = list(SOURCES)
            raise UsageError(f"--from {name!r}: is none of {', '.join(known)}.{nearest(name, known)}")
    return list(dict.fromkeys(columns))


def _size(made: "Tags") -> str:
    return f"{len(made):,} tags of {len(made.merges):,} words, {made.dim} dimensions"
