"""How tags, and what became of the words, read on a terminal and as JSON."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from perisphere.cli.search import printable

if TYPE_CHECKING:
    from perisphere.tags import Tags
    from perisphere.tags.build import Account

SHOWN = 8  # examples of a reason on the screen; --json and merges.tsv have all


def account_facts(tags: "Tags", account: "Account") -> dict[str, Any]:
    """Return what became of the words, as JSON values."""
    return {
        "tags": len(tags),
        "dim": tags.dim,
        "vectors": tags.about["vectors"],
        "photos": account.photos,
        "tagged": account.tagged,
        "words": account.typed,
        "spellings": account.spellings,
        "merged": {
            reason: [{"spelling": spelling, "tag": tag} for spelling, tag in pairs]
            for reason, pairs in account.merged.items()
        },
        "dropped": account.dropped,
        "spelled_otherwise": account.otherwise,
        "without_vector": account.unknown,
    }


def print_account(tags: "Tags", account: "Account") -> None:
    """Print what became of the words: counts by reason, with a few examples."""
    table = _table()
    table.add_row("photos", f"{account.photos:,}, {account.tagged:,} of them with a tag")
    table.add_row("words", f"{account.typed:,} as typed, {account.spellings:,} spellings")
    table.add_row("tags", f"{len(tags):,} in {tags.dim} dimensions, vectors: {tags.about['vectors']}")
    for reason, pairs in sorted(account.merged.items()):
        examples = (f"{spelling} → {tag}" for spelling, tag in pairs[:SHOWN])
        table.add_row(f"merged: {reason}", f"{len(pairs):,}: {_listed(examples, len(pairs))}")
    for reason, count in sorted(account.dropped.items(), key=lambda item: -item[1]):
        table.add_row(f"dropped: {reason}", f"{count:,} words")
    if account.otherwise:
        examples = (f"{tag} as {form}" for tag, form in list(account.otherwise.items())[:SHOWN])
        table.add_row(
            "found by other spelling",
            f"{len(account.otherwise):,}: {_listed(examples, len(account.otherwise))}",
        )
    if account.unknown:
        names = [f"{name} (tried {', '.join(tried[:4])} ...)" for name, tried in account.unknown.items()]
        table.add_row("in no spelling found", f"{len(names):,}: {_listed(names[:SHOWN], len(names))}")
    _print(table)


def facts_of(tags: "Tags", top: int) -> dict[str, Any]:
    """Return the commonest tags and their members, and why words were merged and dropped."""
    members: dict[str, list[str]] = {name: [] for name in tags.names}
    dropped: Counter[str] = Counter()
    merged: Counter[str] = Counter()
    for word, tag in tags.merges.items():
        reason = tags.reasons.get(word, "")
        if tag is None:
            dropped[reason or "dropped"] += 1
            continue
        members[tag].append(word)
        if reason:
            merged["vector" if reason.startswith("vector ") else reason] += 1
    order = sorted(range(len(tags)), key=lambda row: (-tags.counts[row], tags.names[row]))[:top]
    shown = [(tags.names[row], int(tags.counts[row])) for row in order]
    return {
        "tags": len(tags),
        "words": len(tags.merges),
        "dim": tags.dim,
        "fingerprint": tags.fingerprint,
        "about": tags.about,
        "merged": dict(merged),
        "dropped": dict(dropped),
        "commonest": [{"tag": tag, "photos": photos, "words": members[tag]} for tag, photos in shown],
    }


def print_tags(name: str, facts: dict[str, Any]) -> None:
    """Print the facts of :func:`facts_of`."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(Text.assemble((name, "bold"), f"  {facts['tags']:,} tags of {facts['words']:,} words"))
    table = _table()
    table.add_row("dimensions", str(facts["dim"]))
    for key, value in facts["about"].items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        table.add_row(printable(key.replace("_", " ")), printable(shown))
    for title in ("merged", "dropped"):
        for reason, count in sorted(facts[title].items(), key=lambda item: -item[1]):
            table.add_row(printable(f"{title}: {reason}"), f"{count:,} words")
    _print(table)
    table = _table()
    for item in facts["commonest"]:
        others = [word for word in item["words"] if word != item["tag"]]
        table.add_row(
            f"{item['photos']:,}",
            Text.assemble((printable(item["tag"]), "bold"), f"  {_listed(others[:SHOWN], len(others))}"),
        )
    _print(table)


def _table() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    return table


def _listed(examples: Any, count: int) -> str:
    shown = list(examples)
    return printable(", ".join(shown)) + (" ..." if count > len(shown) else "")


def _print(table: Table) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(table)
