"""``perisphere taxonomy``: class taxonomies checked, drawn, compared, and placed on the sphere."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from perisphere.cli.main import app
from perisphere.cli.taxonomies import (
    AsJson,
    ClassList,
    IsA,
    Names,
    Overwrite,
    StringIds,
    TaxonomyFile,
    load_classes,
    load_taxonomy,
    refuse_existing,
)
from perisphere.cli.taxonomy_text import in_words, summary
from perisphere.errors import PerisphereError, UsageError

if TYPE_CHECKING:
    from perisphere.taxonomy import Id, Taxonomy

taxonomy = typer.Typer(help="Class taxonomies, and class points on the sphere.", no_args_is_help=True)
app.add_typer(taxonomy, name="taxonomy")


@taxonomy.command("check")
def check(
    file: TaxonomyFile,
    is_a: IsA = False,
    string_ids: StringIds = False,
    names: Names = None,
    class_list: ClassList = None,
    as_json: AsJson = False,
) -> None:
    """Read a taxonomy and say what is in it; whatever is wrong with it is an error that names the line.

    **Examples**

    `perisphere taxonomy check cifar.parent-child.txt`

    `perisphere taxonomy check nabirds/hierarchy.txt --is-a --names nabirds/classes.txt`

    `perisphere taxonomy check wordnet.txt.gz --class-list ilsvrc.txt --json`
    """
    tree = load_taxonomy(file, is_a, string_ids, names)
    classes = load_classes(tree, class_list)
    found = {**summary(tree), "classes": len(classes)}
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(in_words(found))


@taxonomy.command("show")
def show(
    file: TaxonomyFile,
    is_a: IsA = False,
    string_ids: StringIds = False,
    names: Names = None,
    node: Annotated[str | None, typer.Option(help="Only what is below this id or name.")] = None,
    levels: Annotated[int | None, typer.Option(min=0, max=500, help="How many levels to show.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Draw it: .svg or .png.")] = None,
    shape: Annotated[
        Literal["tree", "circle"] | None,
        typer.Option(help="Of the drawing; a circle from 150 rows on if not given."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Print a taxonomy as indented text, or draw it.

    In the drawing all classes are on one line, and nodes stand as far from it as their height: where the ways
    of two classes meet is their similarity. Without --levels,
    text and --json show 3.

    **Examples**

    `perisphere taxonomy show taxonomy.txt`

    `perisphere taxonomy show taxonomy.txt --node mammal --levels 5`

    `perisphere taxonomy show taxonomy.txt -o taxonomy.svg`

    `perisphere taxonomy show wordnet.txt --levels 8 --shape tree -o wordnet.png`
    """
    if shape is not None and out is None:
        raise UsageError(f"--shape {shape}: is of the drawing; give -o FILE.svg or FILE.png too.")
    refuse_existing([out], overwrite)
    tree = load_taxonomy(file, is_a, string_ids, names)
    start = None if node is None else tree.find(node)
    if out is not None:
        from perisphere.taxonomy.drawing import draw

        draw(tree, out, node=start, levels=levels, shape=shape)
    shown = 3 if levels is None else levels
    if as_json:
        roots = [_branch(tree, each, shown) for each in (tree.roots if start is None else (start,))]
        typer.echo(json.dumps({**summary(tree), "nodes_shown": roots, "drawing": out and str(out)}, indent=2))
    elif out is not None:
        typer.echo(f"{in_words(summary(tree))}\nwritten: {out}")
    else:
        for each in tree.roots if start is None else (start,):
            _print_branch(tree, each, shown, 0)


@taxonomy.command("similarity")
def similarity(
    file: TaxonomyFile,
    classes: Annotated[
        list[str] | None, typer.Argument(help="Ids or names; each is compared with each.")
    ] = None,
    is_a: IsA = False,
    string_ids: StringIds = False,
    names: Names = None,
    class_list: ClassList = None,
    kind: Annotated[
        Literal["lcs_height", "wup"], typer.Option(help="What --out holds: by LCS height, or Wu-Palmer.")
    ] = "lcs_height",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="All pairs: .npz (similarities, classes) or .csv.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Say how similar classes are: lowest common subsumer, shortest path, LCS height and Wu-Palmer.

    **Examples**

    `perisphere taxonomy similarity taxonomy.txt cat dog`

    `perisphere taxonomy similarity taxonomy.txt cat dog truck --json`

    `perisphere taxonomy similarity taxonomy.txt --kind wup -o similarities.csv`
    """
    refuse_existing([out], overwrite)
    tree = load_taxonomy(file, is_a, string_ids, names)
    if classes and class_list:
        raise UsageError("similarity: name classes, or give --class-list, not both.")
    if not classes and out is None:
        raise UsageError("similarity: name two classes or more, or write all pairs with -o FILE.")
    chosen = tree.classes_of(classes) if classes else load_classes(tree, class_list)
    if out is not None:
        _write_similarities(tree, chosen, kind, out)
        typer.echo(
            json.dumps({"written": str(out), "classes": len(chosen)}) if as_json else f"written: {out}"
        )
        return
    pairs = [_compare(tree, a, b) for place, a in enumerate(chosen) for b in chosen[place + 1 :]]
    if not pairs:
        raise UsageError("similarity: name two classes or more.")
    if as_json:
        typer.echo(json.dumps(pairs, indent=2))
        return
    for pair in pairs:
        typer.echo(
            f"{pair['a_name']} - {pair['b_name']}: meet at {pair['lcs_name']}, path {pair['path']}, "
            f"LCS height {pair['lcs_height']:.4f}, Wu-Palmer {pair['wup']:.4f}"
        )


@taxonomy.command("embed")
def embed(
    file: TaxonomyFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="The points: .npz or .json.")],
    is_a: IsA = False,
    string_ids: StringIds = False,
    names: Names = None,
    class_list: ClassList = None,
    method: Annotated[
        Literal["unitsphere", "approx_sim", "spheres", "mds"], typer.Option(help="See below.")
    ] = "unitsphere",
    num_dim: Annotated[
        int | None, typer.Option("--num-dim", min=1, help="Dimensions, for approx_sim and mds.")
    ] = None,
    norm: Annotated[bool, typer.Option("--norm", help="Bring every point to length one.")] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Place the classes as points whose geometry is the taxonomy's.

    `unitsphere`: unit vectors whose dot products are exactly the similarities by LCS height; as many
    dimensions as classes. `approx_sim`: the best approximation of the similarities in --num-dim dimensions.
    `spheres` and `mds`: points whose Euclidean distances are the dissimilarities, exactly or by scaling.
    The deviation from these targets is printed, of the points as they are written.

    **Examples**

    `perisphere taxonomy embed cifar.parent-child.txt -o cifar.npz`

    `perisphere taxonomy embed nabirds/hierarchy.txt --is-a --names nabirds/classes.txt -o nabirds.npz`

    `perisphere taxonomy embed inat.txt --method approx_sim --num-dim 1024 --norm -o inat.npz`
    """
    refuse_existing([out], overwrite)
    if out.suffix not in (".npz", ".json"):
        raise UsageError(f"{out}: class points are written as .npz or .json. Name such a file.")
    from perisphere.taxonomy import embed as place
    from perisphere.taxonomy.embedding import deviation, dissimilarities

    tree = load_taxonomy(file, is_a, string_ids, names)
    classes = load_classes(tree, class_list)
    far = dissimilarities(tree, classes)
    points = place(tree, classes, method, num_dim=num_dim, unit=norm, far=far)
    largest, mean = deviation(points, far)
    points.save(out)
    if as_json:
        found = {"classes": len(points), "dimensions": points.dim, "method": method, "norm": norm}
        typer.echo(json.dumps({"written": str(out), **found, "deviation": {"max": largest, "mean": mean}}))
        return
    of = "similarities" if method in ("unitsphere", "approx_sim") else "distances"
    typer.echo(f"{len(points):,} classes in {points.dim:,} dimensions by {method}")
    typer.echo(f"deviation from the target {of}: at most {largest:.3g}, {mean:.3g} on average")
    typer.echo(f"written: {out}")


def _print_branch(tree: "Taxonomy", node: "Id", levels: int, indent: int) -> None:
    name = tree.names.get(node)
    below = tree.children(node)
    more = f"  (+{len(tree.leaves_under(node)):,})" if below and not levels else ""
    typer.echo(f"{'  ' * indent}{node}{'' if name is None else f' {name}'}{more}")
    for child in below if levels else ():
        _print_branch(tree, child, levels - 1, indent + 1)


def _branch(tree: "Taxonomy", node: "Id", levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {"id": node, "name": tree.names.get(node), "leaves": len(tree.leaves_under(node))}
    if levels:
        found["children"] = [_branch(tree, child, levels - 1) for child in tree.children(node)]
    return found


def _compare(tree: "Taxonomy", a: "Id", b: "Id") -> dict[str, Any]:
    from perisphere.taxonomy import similarities

    subsumer = tree.lcs(a, b)
    if subsumer is None:
        raise PerisphereError(f"classes {a!r} and {b!r}: have no common ancestor.")
    return {
        "a": a,
        "b": b,
        "lcs": subsumer,
        "a_name": tree.name_of(a),
        "b_name": tree.name_of(b),
        "lcs_name": tree.name_of(subsumer),
        "path": tree.shortest_path(a, b),
        "lcs_height": float(similarities(tree, [a, b], "lcs_height")[0, 1]),
        "wup": float(similarities(tree, [a, b], "wup")[0, 1]),
    }


def _write_similarities(
    tree: "Taxonomy", classes: "list[Id]", kind: Literal["lcs_height", "wup"], out: Path
) -> None:
    import csv

    import numpy as np

    from perisphere.storage import whole_file
    from perisphere.taxonomy import similarities

    if out.suffix not in (".npz", ".csv"):
        raise UsageError(f"{out}: similarities are written as .npz or .csv. Name such a file.")
    values, ids = similarities(tree, classes, kind), [str(node) for node in classes]
    with whole_file(out) as part:
        if out.suffix == ".npz":
            with part.open("wb") as file:
                np.savez(file, similarities=values, classes=np.array(ids), kind=np.array(kind))
            return
        with part.open("w", newline="", encoding="utf-8") as text:
            writer = csv.writer(text)
            writer.writerow(["", *ids])
            writer.writerows([name, *row] for name, row in zip(ids, values.tolist(), strict=True))
