"""``perisphere recipes``: what can be trained out of the box."""

from typing import TYPE_CHECKING, Annotated

import typer

from perisphere.cli.main import app

if TYPE_CHECKING:
    from perisphere.training import Recipe

recipes = typer.Typer(help="The packaged recipes.", no_args_is_help=True)
app.add_typer(recipes, name="recipes")


@recipes.command("list")
def list_recipes(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the packaged recipes: published figures beside those that were obtained here.

    **Examples**

        perisphere recipes list
    """
    import json

    from rich.console import Console
    from rich.table import Table

    from perisphere.training import load, packaged

    found = [load(path) for path in packaged().values()]
    if as_json:
        rows = [
            one.model_dump(mode="json", include={"name", "about", "source", "published", "obtained"})
            for one in found
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table("recipe", "figure", "published", "here", box=None)
    for one in found:
        names = list(one.published | one.obtained)
        columns = [_figures(figures, names) for figures in (one.published, one.obtained)]
        table.add_row(f"{one.name}\n  {one.about}", "\n".join(names), *columns)
    Console(highlight=False).print(table)
    typer.echo("Not every published figure was checked: `perisphere recipes show NAME` tells its source.")


def _figures(figures: dict[str, float], names: list[str]) -> str:
    """Put one figure in a line, in the order of the names."""
    return "\n".join(f"{figures[name]:.4g}" if name in figures else "-" for name in names)


def _beside(recipe: "Recipe") -> list[str]:
    """Return the recipe's figures as lines of YAML comment, none where it has none."""
    names = list(recipe.published | recipe.obtained)
    if not names:
        return []
    width = max(map(len, names))
    rows = [f"# {'figure':<{width}}  published  here"]
    for name in names:
        published, here = (_figures(figures, [name]) for figures in (recipe.published, recipe.obtained))
        rows.append(f"# {name:<{width}}  {published:>9}  {here:>4}")
    return rows


@recipes.command("show")
def show_recipe(
    name: Annotated[str, typer.Argument(help="Name of a packaged recipe, or a file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. optimizer.lr=0.01")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every default.")] = False,
) -> None:
    """Print a recipe: the file as it is or, with overrides or `--json`, with every default filled in.

    Published figures and those obtained here follow as comments, side by side.

    **Examples**

        perisphere recipes show landmark-small > mine.yaml

        perisphere recipes show landmark-small epochs=3
    """
    import json

    import yaml

    from perisphere.training import find, load

    if not (overrides or as_json):
        typer.echo(find(name).read_text(encoding="utf-8"), nl=False)
        for line in _beside(load(name)):
            typer.echo(line)
        return
    tree = load(name, overrides or []).model_dump(mode="json")
    typer.echo(json.dumps(tree, indent=1) if as_json else yaml.safe_dump(tree, sort_keys=False), nl=as_json)
