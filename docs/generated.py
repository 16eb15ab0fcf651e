"""Pages of the site that are made of the program itself: its recipes, its commands and its rooms."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from perisphere.cli.main import app

PACKAGE = Path(__file__).parents[1] / "src" / "perisphere"
MODULES = ("errors", "encoder.segment", "index.sync", "search.word_query", "serve.app", "serve.settings")
"""Modules whose names are imported from where they are defined."""

METHODS = {
    "landmark": "Classification, with an embedding beside it",
    "hierarchy": "Class points of a taxonomy",
    "centroid": "Centroids of identities",
    "tuples": "Tuples for retrieval",
    "quantization": "Tags and codes",
    "segmentation": "Concepts as masks",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the reference in the navigation."""
    assert config.nav is not None
    for entry in config.nav:
        if entry.get("Reference"):
            entry["Reference"] = ["reference/commands.md", *(f"reference/{room}.md" for room in rooms())]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {"recipes.md": recipes(), "reference/commands.md": commands()}
    pages |= {f"reference/{room}.md": reference(room) for room in rooms()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_content(html: str, page: Page, **_: object) -> str:
    """Take the roles of Sphinx out of docstrings."""
    return re.sub(r":(?:class|func|meth|data|mod|attr|exc):(?=<code>)", "", html)


def rooms() -> list[str]:
    """Name the packages that export something, and :data:`MODULES`, those first that stand on the others."""
    names = []
    for room in _layers():
        packages = [path.parent.relative_to(PACKAGE) for path in (PACKAGE / room).rglob("__init__.py")]
        modules = [name for name in MODULES if name.split(".")[0] == room]
        names += sorted([*(".".join(package.parts) for package in packages), *modules])
    return [name for name in names if exported(name)]


def _layers() -> Iterator[str]:
    import tomllib

    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text())
    for contract in project["tool"]["importlinter"]["contracts"]:
        yield from (layer.removeprefix("perisphere.") for layer in contract.get("layers", ()))


def _source(room: str) -> Path:
    place = PACKAGE.joinpath(*room.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def exported(room: str) -> dict[str, str]:
    """Read what a package or module exports, and where each name is defined, without importing it."""
    tree = ast.parse(_source(room).read_text())
    if room in MODULES:
        own = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        return {name: f"perisphere.{room}.{name}" for name in own if not name.startswith("_")}
    homes = {
        name.asname or name.name: f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__":
            return {
                name: homes.get(name, f"perisphere.{room}.{name}") for name in ast.literal_eval(node.value)
            }
    return {}


def reference(room: str) -> str:
    """Write the page of one package: what it is for, and everything that it exports."""
    about = ast.get_docstring(ast.parse(_source(room).read_text()))
    names = exported(room)
    own = [f"::: {home}" for home in names.values() if home.startswith(f"perisphere.{room}.")]
    lent = [
        f"[`{name}`][{home}]" for name, home in names.items() if not home.startswith(f"perisphere.{room}.")
    ]
    further = [f"Exported here as well: {', '.join(lent)}."] if lent else []
    return "\n\n".join([f"# perisphere.{room}", str(about), *further, *own]) + "\n"


def recipes() -> str:
    """Write the page of the packaged recipes, by method: what each is, its figures and its file."""
    found: dict[str, list[tuple[dict[str, Any], str]]] = {method: [] for method in METHODS}
    for path in sorted((PACKAGE / "recipes").glob("*.yaml")):
        text = path.read_text()
        recipe = yaml.safe_load(text)
        found.setdefault(recipe["method"], []).append((recipe, text))
    parts = ["# Recipes", RECIPES]
    for method, members in found.items():
        parts.append(f"## {METHODS.get(method, method)}")
        parts += [_recipe(recipe, text) for recipe, text in members]
    return "\n\n".join(parts) + "\n"


RECIPES = """Each row of a published table that can be trained here is a file in the package:
`perisphere train NAME`, with any `key=value` in its place; `perisphere recipes show NAME > mine.yaml` makes a
copy. *Published* is the figure that the source gives; *here* is what was obtained with this program, where it
was: [Results](results.md) tell on which data and how. A dash means that nobody has checked it."""


def _recipe(recipe: dict[str, Any], text: str) -> str:
    published, here = recipe.get("published", {}), recipe.get("obtained", {})
    lines = [f"### {recipe['name']}", f"{recipe['about']}."]
    if published or here:
        rows = "\n".join(
            f"| {name} | {published.get(name, '-')} | {here.get(name, '-')} |" for name in published | here
        )
        lines.append(f"| figure | published | here |\n|---|---:|---:|\n{rows}")
    if "source" in recipe:
        lines.append(f"Source: {recipe['source']}.")
    body = "\n".join(f"    {line}".rstrip() for line in text.splitlines())
    lines.append(f'??? note "{recipe["name"]}.yaml"\n\n    ```yaml\n{body}\n    ```')
    return "\n\n".join(lines)


def commands() -> str:
    """Write the page of all commands, from the same words that `--help` prints."""
    group: Any = typer.main.get_command(app)
    parts = ["# Commands", "What `perisphere COMMAND --help` says, on one page."]
    for name in group.list_commands(None):
        parts += _command(group.commands[name], f"perisphere {name}")
    return "\n\n".join(parts) + "\n"


def _command(command: Any, path: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for name in sorted(command.commands):
            yield from _command(command.commands[name], f"{path} {name}")
        return
    yield f"## {path}"
    yield inspect.cleandoc(command.help or "")
    rows = [_parameter(one) for one in command.params if not getattr(one, "hidden", False)]
    if rows:
        yield "| option | meaning | default |\n|---|---|---|\n" + "\n".join(rows)


def _parameter(one: Any) -> str:
    if one.param_type_name == "argument":
        name = one.metavar or one.name.upper()
    else:
        name = ", ".join([*one.opts, *one.secondary_opts])
    about = " ".join((one.help or "").split()).replace("<", "&lt;")
    silent = one.default is None or one.default is False or callable(one.default) or one.required
    default = "" if silent else f"`{one.default}`"
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (f"`{name}`", about, default)) + " |"
