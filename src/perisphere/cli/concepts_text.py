"""Concepts proposed, given and compared, read on a terminal and as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from perisphere.cli.search import printable

if TYPE_CHECKING:
    from perisphere.catalog.concept_labels import LabelledCatalog
    from perisphere.tags.concepts.agreement import Agreement, ClassAgreement
    from perisphere.tags.concepts.proposal import Proposal

_WORDS = 4  # words of a concept on the screen; --json has all
PLACES = ("category", "caption", "higher category")
"""Where the primary concept of a photo may stand, as the columns are called."""
_FIGURES = ("precision", "recall", "f1")


def proposal_facts(proposals: "Sequence[Proposal]") -> dict[str, Any]:
    """Return words and what speaks for them, as JSON values."""
    return {
        "concepts": [one.word for one in proposals if not one.objection],
        "words": [
            {
                "word": one.word,
                "proposed": not one.objection,
                "objection": one.objection or None,
                "photos": one.total,
                "landmarks": len(one.photos),
                "named_by": one.named,
                "in_categories": one.in_categories,
                "in_captions": one.in_captions,
                "agreement": round(one.agreement, 4),
                "forms": one.forms,
                "by_landmark": one.photos,
            }
            for one in proposals
        ],
    }


def print_proposals(proposals: "Sequence[Proposal]", top: int) -> None:
    """Print the first words as a table."""
    table = _table("concept", "photos", "landmarks", "named by", "agreement", "words")
    for one in proposals[:top]:
        counts = (one.total, len(one.photos), one.named)
        table.add_row(
            _shown(one.word) if not one.objection else f"[dim]{_shown(one.word)}[/dim]",
            *(f"{count:,}" for count in counts),
            f"{one.agreement:.2f}",
            f"[dim]no: {_shown(one.objection)}[/dim]" if one.objection else _words(one.forms),
        )
    console = Console()
    console.print(table)
    good = [one.word for one in proposals if not one.objection]
    console.print(f"{len(good)} proposed: {_shown(', '.join(good) or 'none')}", highlight=False)


def label_facts(made: "LabelledCatalog") -> dict[str, Any]:
    """Return what became of each concept, as JSON values."""
    return {
        "photos": len(made.catalog),
        "unlabelled": made.unlabelled,
        "without_text": made.untold,
        "concepts": {
            name: {
                "primary": counts.primary,
                "related": counts.related,
                "from": dict(counts.places),
                "hints": counts.hints,
                "thinned": counts.thinned,
                "words": dict(counts.words.most_common()),
            }
            for name, counts in made.classes.items()
        },
    }


def print_labels(made: "LabelledCatalog") -> None:
    """Print what became of each concept as a table."""
    places = [place for place in PLACES if any(counts.places[place] for counts in made.classes.values())]
    thinned = sum(counts.thinned for counts in made.classes.values())
    heads = ["primary", "all", *(place.removesuffix(" category") for place in places), "hint"]
    table = _table("concept", *heads, *["thinned"] * bool(thinned), "words", cut=True)
    for name, counts in made.classes.items():
        numbers = [counts.primary, counts.related, *(counts.places[place] for place in places), counts.hints]
        numbers += [counts.thinned] * bool(thinned)
        words = _words(dict(counts.words.most_common()))
        table.add_row(_shown(name), *(f"{number:,}" for number in numbers), words)
    Console().print(table)
    labelled = len(made.catalog) - made.unlabelled - thinned
    print(f"{labelled:,} of {len(made.catalog):,} photos have concepts")
    if thinned:
        print(f"{thinned:,} photos of large concepts were taken out")
    if made.unlabelled:
        print(f"{made.unlabelled:,} photos: their texts name none, {made.untold:,} of them have no text")


def agreement_facts(found: "Agreement") -> dict[str, Any]:
    """Return the figures of each concept and their means, as JSON values."""
    from perisphere.tags.concepts.agreement import macro

    return {
        "photos": found.photos,
        "same_primary": found.same_primary / found.photos,
        "same_concepts": found.same_concepts / found.photos,
        "unlabelled": found.unlabelled,
        **{
            kind: {
                "mean": {figure: macro(values, figure) for figure in _FIGURES},
                "classes": {name: _figures(one) for name, one in values.items()},
            }
            for kind, values in (("primary", found.primary), ("related", found.related))
        },
    }


def print_agreement(found: "Agreement") -> None:
    """Print precision, recall and F1 of each concept, primary and all."""
    from perisphere.tags.concepts.agreement import macro

    table = _table(
        "concept", *(f"{kind} {figure}" for kind in ("primary", "all") for figure in ("P", "R", "F1"))
    )
    for name in found.primary:
        figures = [
            getattr(one[name], figure) for one in (found.primary, found.related) for figure in _FIGURES
        ]
        table.add_row(_shown(name), *map(_share, figures))
    means = [macro(one, figure) for one in (found.primary, found.related) for figure in _FIGURES]
    table.add_row("mean", *map(_share, means), style="bold")
    Console().print(table)
    print(
        f"{found.photos:,} photos: {found.same_primary / found.photos:.2%} with the published primary one, "
        f"{found.same_concepts / found.photos:.2%} with all concepts in their order, "
        f"{found.unlabelled:,} without any"
    )


def _figures(one: "ClassAgreement") -> dict[str, Any]:
    counts = {"right": one.right, "ours": one.ours, "published": one.published}
    return {**{figure: getattr(one, figure) for figure in _FIGURES}, **counts}


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _words(counts: dict[str, int]) -> str:
    listed = ", ".join(f"{word} {count:,}" for word, count in list(counts.items())[:_WORDS])
    return _shown(f"{listed} ..." if len(counts) > _WORDS else listed)


def _shown(text: str) -> str:
    return escape(printable(text))


def _table(*columns: str, cut: bool = False) -> Table:
    """Return an empty table, whose words that are too long are cut or go on in the next line."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=cut)
    for name in columns:
        text = name in ("concept", "words")
        table.add_column(
            name,
            justify="left" if text else "right",
            overflow="fold" if text and not cut else "ellipsis",
            no_wrap=cut,
            ratio=1 if cut and name == "words" else None,  # what the others leave
        )
    return table
