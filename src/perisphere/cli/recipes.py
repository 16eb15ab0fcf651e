"""``perisphere recipes``: what can be trained out of the box."""

from typing import Annotated

import typer

from perisphere.cli.main import app

recipes = typer.Typer(help="The packaged recipes.", no_args_is_help=True)
app.add_typer(recipes, name="recipes")


@recipes.command("list")
def list_recipes(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the packaged recipes.

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
            {"name": one.name, "about": one.about, "source": one.source, "published": one.published}
            for one in found
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table("recipe", "about", "published", box=None)
    for one in found:
        figures = ", ".join(f"{name} {value}" for name, value in one.published.items())
        table.add_row(one.name, one.about, figures or "-")
    Console(highlight=False).print(table)


@recipes.command("show")
def show_recipe(
    name: Annotated[str, typer.Argument(help="Name of a packaged recipe, or a file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, e.g. optimizer.lr=0.01")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every default.")] = False,
) -> None:
    """Print a recipe: the file as it is or, with overrides or `--json`, with every default filled in.

    **Examples**

        perisphere recipes show landmark-small > mine.yaml

        perisphere recipes show landmark-small epochs=3
    """
    import json

    import yaml

    from perisphere.training import find, load

    if not (overrides or as_json):
        typer.echo(find(name).read_text(encoding="utf-8"), nl=False)
        return
    tree = load(name, overrides or []).model_dump(mode="json")
    typer.echo(json.dumps(tree, indent=1) if as_json else yaml.safe_dump(tree, sort_keys=False), nl=as_json)
