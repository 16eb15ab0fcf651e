"""How a catalog's summary reads on a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_summary(name: str, facts: dict[str, Any]) -> None:
    """Print the facts of :func:`perisphere.catalog.summary.summary` on stdout."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(Text.assemble((name, "bold"), f"  {_images(facts)}"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    for title, text in _lines(facts):
        table.add_row(title, Text(text))
    console.print(table)


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [("root", facts["root"])]
    if facts["source"].get("format"):
        lines.append(("read as", facts["source"]["format"]))
    if facts["class_size"]:
        lines.append(("class size", f"{_range(facts['class_size'])} images"))
    if facts["unlabelled"] and facts["classes"]:
        lines.append(("unlabelled", f"{facts['unlabelled']:,} images"))
    for split, counts in facts["splits"].items():
        if split or len(facts["splits"]) > 1:
            name = f"split {split}" if split else "no split"
            lines.append((name, _images(counts)))
    if facts["width"]:
        lines.append(("width", f"{_range(facts['width'])} pixels"))
        lines.append(("height", f"{_range(facts['height'])} pixels"))
    counted = {name: facts[name] for name in ("cameras", "domains", "categories", "concepts", "tags")}
    counted |= {f"{name} images": facts[name] for name in ("tagged", "captioned", "boxed")}
    counted |= {name: facts[name] for name in ("keypoints", "masks", "regions")}
    lines += [(name, f"{count:,}") for name, count in counted.items() if count]
    lines += [("skipped", f"{count:,} x {reason}") for reason, count in facts["skipped"].items()]
    return lines


def _images(counts: dict[str, Any]) -> str:
    images, classes = counts["images"], counts["classes"]
    return f"{images:,} image{'s' * (images != 1)}, {classes:,} class{'es' * (classes != 1)}"


def _range(values: dict[str, float]) -> str:
    if values["min"] == values["max"]:
        return f"{values['min']:,}"
    return f"{values['min']:,} to {values['max']:,}, median {values['median']:,.0f}"
