"""``perisphere concepts``: what photos show, out of captions and category names."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perisphere.cli.main import app
from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.catalog.catalog import Skipped
    from perisphere.tags.concepts import ConceptWords

concepts = typer.Typer(
    help="Concepts (portal, organ ...) out of captions and categories.", no_args_is_help=True
)
app.add_typer(concepts, name="concepts")

Mapping = Annotated[
    list[Path] | None,
    typer.Option("--mapping", help="More words: WORD, LANGUAGE, CONCEPT with tabs between. May be repeated."),
]
BuiltIn = Annotated[
    bool,
    typer.Option("--built-in/--no-built-in", help="Know words of 26 languages for ten parts of churches."),
]
Languages = Annotated[
    str | None, typer.Option(help="Languages of the built-in words, with commas; all if not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


@concepts.command("propose")
def propose(
    catalog: Annotated[
        Path | None, typer.Argument(help="A catalog of photos with captions or categories.")
    ] = None,
    lists: Annotated[
        Path | None, typer.Option(help="Instead of a catalog: a folder with lists of WikiScenes.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A file for `concepts label --concepts`.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Photos of the catalog that count; all if not given.")
    ] = None,
    min_photos: Annotated[int, typer.Option(min=1, help="Photos that tell of a concept.")] = 20,
    min_landmarks: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the landmarks with a category of that name.")
    ] = 0.1,
    min_agreement: Annotated[
        float, typer.Option(min=0, help="How far captions follow it; 1 is chance.")
    ] = 1.2,
    top: Annotated[int, typer.Option(min=1, help="Words shown on the screen.")] = 30,
    mapping: Mapping = None,
    built_in: BuiltIn = True,
    languages: Languages = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Propose the concepts of a collection: words that many landmarks have a category of.

    Counted are captions and each photo's own category. Words of a landmark's own name are left out, plurals
    count as their singular, words that the mapping knows as their concept. A good concept names categories
    of many landmarks, and captions say it where the category does.

    **Examples**

    `perisphere concepts propose catalog -o concepts.tsv`

    `perisphere concepts propose catalog --no-built-in --min-photos 50 --json`

    `perisphere concepts propose --lists wikiscenes/data --mapping mine.tsv`
    """
    from perisphere.catalog import Catalog
    from perisphere.catalog.concept_labels import texts_of, texts_of_lists
    from perisphere.cli.concepts_text import print_proposals, proposal_facts
    from perisphere.storage import check_replaceable
    from perisphere.tags.concepts.concept_file import write_concepts
    from perisphere.tags.concepts.proposal import Limits
    from perisphere.tags.concepts.proposal import propose as propose_words

    if (catalog is None) == (lists is None):
        raise UsageError("concepts propose: give a CATALOG or --lists FOLDER, one of the two.")
    if out is not None:
        check_replaceable(out, overwrite)
    words = _words(mapping, built_in, languages)
    bad: list[Skipped] = []
    if catalog is None:
        assert lists is not None
        if split is not None:
            raise UsageError("--split: goes with a catalog; --lists reads every list of the folder.")
        texts = texts_of_lists(lists, bad)
    else:
        texts = texts_of(Catalog.load(catalog).select(split=split).table)
    found = propose_words(texts, words, Limits(min_photos, min_landmarks, min_agreement))
    if bad:
        typer.echo(f"lines left out: {len(bad):,}, the first {bad[0].path}: {bad[0].reason}", err=True)
    if out is not None:
        write_concepts(out, found)
    if as_json:
        written = {} if out is None else {"written": str(out)}
        typer.echo(json.dumps({**written, **proposal_facts(found)}, indent=2, ensure_ascii=False))
    else:
        print_proposals(found, top)
        if out is not None:
            typer.echo(f"written: {out}")


@concepts.command("label")
def label(
    catalog: Annotated[Path, typer.Argument(help="A catalog of photos with captions or categories.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The new catalog; photos stay where they are.")],
    concepts: Annotated[
        Path | None, typer.Option(help="One concept a line, as `concepts propose` writes; ten if not given.")
    ] = None,
    mapping: Mapping = None,
    built_in: BuiltIn = True,
    languages: Languages = None,
    first: Annotated[
        str | None,
        typer.Option(help="Language whose words count first; en where it has some; `none`: all on a par."),
    ] = None,
    inherit: Annotated[
        bool,
        typer.Option(
            "--inherit", help="Take the concept of a higher category where a photo's own texts name none."
        ),
    ] = False,
    balance: Annotated[
        int | None, typer.Option(min=1, help="Photos of a primary concept, at most, in the split train.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the photos that --balance leaves.")] = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Give photos the concepts that their texts name: the primary one, then those of higher categories.

    The primary concept is named by the photo's own category, else by its caption. Words of the --first
    language go before those of others, and all before hints, which only go with a concept (`sculpture`,
    `statue`). Concepts that the catalog had are forgotten. Photos that --balance takes out stay in the
    catalog without concepts.

    **Examples**

    `perisphere concepts label catalog -o labelled`

    `perisphere concepts label catalog -o labelled --languages en --balance 950`

    `perisphere concepts label catalog -o labelled --concepts concepts.tsv --mapping mine.tsv --json`
    """
    from perisphere.catalog import Catalog
    from perisphere.catalog.concept_labels import label_catalog
    from perisphere.cli.concepts_text import label_facts, print_labels
    from perisphere.storage import check_replaceable
    from perisphere.tags.concepts.concept_file import read_concepts

    check_replaceable(out, overwrite)
    words = _words(mapping, built_in, languages)
    if concepts is not None:
        words = words.of(read_concepts(concepts))
    if not words.concepts:
        raise UsageError("concepts label: no words are known. Give --mapping, --concepts or --built-in.")
    made = label_catalog(
        Catalog.load(catalog),
        words,
        first=_first(words, first),
        inherit=inherit,
        balance=balance,
        seed=seed,
    )
    made.catalog.save(out, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps({"written": str(out), **label_facts(made)}, indent=2, ensure_ascii=False))
    else:
        print_labels(made)
        typer.echo(f"written: {out}")


@concepts.command("compare")
def compare(
    catalog: Annotated[Path, typer.Argument(help="A catalog with concepts.")],
    published: Annotated[Path, typer.Argument(help="A catalog of the same photos with the true ones.")],
    split: Annotated[
        str | None, typer.Option(help="Photos of PUBLISHED that count; all if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare concepts with published ones: precision, recall and F1 of each.

    Photos are the same where their paths are; those without published concepts do not count. Primary
    concepts and all concepts are counted by themselves.

    **Examples**

    `perisphere concepts compare labelled published`

    `perisphere concepts compare labelled published --split test --json`
    """
    from perisphere.catalog import Catalog
    from perisphere.catalog.concept_labels import compare_catalogs
    from perisphere.cli.concepts_text import agreement_facts, print_agreement

    found = compare_catalogs(Catalog.load(catalog), Catalog.load(published), split)
    if as_json:
        typer.echo(json.dumps(agreement_facts(found), indent=2, ensure_ascii=False))
    else:
        print_agreement(found)


def _words(mapping: list[Path] | None, built_in: bool, languages: str | None) -> "ConceptWords":
    from perisphere.tags.concepts import ConceptWords
    from perisphere.tags.concepts.concept_words import read_entries

    if languages is not None and not built_in:
        raise UsageError("--languages: chooses of the built-in words; it does not go with --no-built-in.")
    words = ConceptWords.built_in() if built_in else ConceptWords(())
    if languages is not None:
        words = words.speaking([language.strip() for language in languages.split(",")])
    added = [entry for file in mapping or () for entry in read_entries(file)]
    return ConceptWords([*words.entries, *added]) if added else words


def _first(words: "ConceptWords", asked: str | None) -> str | None:
    """Return the language whose words count first."""
    spoken = {entry.language for entry in words.entries}
    if asked == "none" or (asked is None and "en" not in spoken):
        return None
    if asked is not None and asked not in spoken:
        raise UsageError(f"--first: no word is of language {asked!r}; there are {', '.join(sorted(spoken))}.")
    return asked or "en"
