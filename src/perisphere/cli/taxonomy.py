"""``perisphere taxonomy``: class taxonomies checked, drawn, compared, converted, and placed on the sphere."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from perisphere.cli.main import app
from perisphere.cli.taxonomies import (
    ClassList,
    IsA,
    Names,
    StringIds,
    TaxonomyFile,
    load_classes,
    load_taxonomy,
)
from perisphere.errors import PerisphereError, UsageError

if TYPE_CHECKING:
    from perisphere.taxonomy import Id, Taxonomy

taxonomy = typer.Typer(help="Class taxonomies, and class points on the sphere.", no_args_is_help=True)
app.add_typer(taxonomy, name="taxonomy")

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


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
    found = {**_summary(tree), "classes": len(classes)}
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(_in_words(found))


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
    _refuse_existing([out], overwrite)
    tree = load_taxonomy(file, is_a, string_ids, names)
    start = None if node is None else tree.find(node)
    if out is not None:
        from perisphere.taxonomy.drawing import draw

        draw(tree, out, node=start, levels=levels, shape=shape)
    shown = 3 if levels is None else levels
    if as_json:
        roots = [_branch(tree, each, shown) for each in (tree.roots if start is None else (start,))]
        typer.echo(
            json.dumps({**_summary(tree), "nodes_shown": roots, "drawing": out and str(out)}, indent=2)
        )
    elif out is not None:
        typer.echo(f"{_in_words(_summary(tree))}\nwritten: {out}")
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
    _refuse_existing([out], overwrite)
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
    _refuse_existing([out], overwrite)
    if out.suffix not in (".npz", ".json"):
        raise UsageError(f"{out}: class points are written as .npz or .json. Name such a file.")
    from perisphere.taxonomy import embed as place
    from perisphere.taxonomy.embedding import deviation

    tree = load_taxonomy(file, is_a, string_ids, names)
    points = place(tree, load_classes(tree, class_list), method, num_dim=num_dim, unit=norm)
    largest, mean = deviation(points)
    points.save(out)
    if as_json:
        found = {"classes": len(points), "dimensions": points.dim, "method": method, "norm": norm}
        typer.echo(json.dumps({"written": str(out), **found, "deviation": {"max": largest, "mean": mean}}))
        return
    of = "similarities" if method in ("unitsphere", "approx_sim") else "distances"
    typer.echo(f"{len(points):,} classes in {points.dim:,} dimensions by {method}")
    typer.echo(f"deviation from the target {of}: at most {largest:.3g}, {mean:.3g} on average")
    typer.echo(f"written: {out}")


@taxonomy.command("convert")
def convert(
    file: Annotated[Path, typer.Argument(help="What is read; see --from.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file of lines PARENT CHILD.")],
    kind: Annotated[
        Literal["relations", "indented", "wordnet", "inaturalist"], typer.Option("--from", help="See below.")
    ],
    is_a: IsA = False,
    string_ids: StringIds = False,
    names: Names = None,
    names_out: Annotated[Path | None, typer.Option(help="Also write lines ID NAME.")] = None,
    class_list: ClassList = None,
    supercategory: Annotated[
        str | None, typer.Option(help="Of iNaturalist's categories: only these, such as Aves.")
    ] = None,
    remarks: Annotated[
        bool, typer.Option("--remarks", help="Indented names end before ' (', and before a '?' at the end.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a taxonomy of another form as lines PARENT CHILD.

    `relations`: such lines, or with --is-a CHILD PARENT. `indented`: names below one another, indented by
    blanks or hyphens; --names says which ids names have already, the others are numbered on. `wordnet`:
    WordNet's `data.noun`, ids such as n02084071. `inaturalist`: the categories of a JSON file, kingdom to
    genus. With --class-list only these classes and what is above them are kept, and what is below is cut off.

    **Examples**

    `perisphere taxonomy convert hierarchy.txt --from indented --names classes.txt -o taxonomy.txt`

    `perisphere taxonomy convert data.noun --from wordnet --class-list wnids.txt -o dag.txt --names-out n.txt`

    `perisphere taxonomy convert train2018.json --from inaturalist --supercategory Aves -o aves.txt`
    """
    _refuse_existing([out, names_out], overwrite)
    _check_options(kind, is_a, string_ids, names, supercategory, remarks)
    tree = _read(kind, file, is_a, string_ids, names, supercategory, remarks)
    if class_list is not None:
        from perisphere.taxonomy.reduction import restrict

        tree = restrict(tree, load_classes(tree, class_list))
    _write_taxonomy(tree, out, names_out)
    _report(tree, [out, names_out], as_json)


@taxonomy.command("reduce")
def reduce(
    file: TaxonomyFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="The tree: lines PARENT CHILD.")],
    is_a: IsA = False,
    string_ids: StringIds = False,
    names: Names = None,
    names_out: Annotated[Path | None, typer.Option(help="Also write lines ID NAME.")] = None,
    class_list: ClassList = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Make a tree of a DAG, with the fewest changes: each node keeps one of its parents.

    Classes with a single path to a root come first; each other class joins by the fewest new nodes.

    **Examples**

    `perisphere taxonomy reduce wordnet.parent-child.txt.gz --class-list ilsvrc.txt -o mintree.txt`
    """
    from perisphere.taxonomy.reduction import reduce_to_tree, restrict

    _refuse_existing([out, names_out], overwrite)
    whole = load_taxonomy(file, is_a, string_ids, names)
    classes = load_classes(whole, class_list)
    tree = reduce_to_tree(restrict(whole, classes), classes)
    _write_taxonomy(tree, out, names_out)
    _report(tree, [out, names_out], as_json)


def _summary(tree: "Taxonomy") -> dict[str, Any]:
    return {
        "nodes": len(tree),
        "relations": len(tree.pairs),
        "repeated": tree.repeated,
        "leaves": len(tree.leaves),
        "roots": len(tree.roots),
        "root_names": [tree.name_of(root) for root in tree.roots[:5]],
        "height": tree.height,
        "depth": max(tree.depth_of(leaf) for leaf in tree.leaves),
        "is_tree": tree.is_tree,
        "several_parents": sum(len(tree.parents(node)) > 1 for node in tree.ids),
    }


def _in_words(found: dict[str, Any]) -> str:
    roots = ", ".join(found["root_names"]) + (", ..." if found["roots"] > len(found["root_names"]) else "")
    number = f"{found['roots']:,} root{'s' * (found['roots'] != 1)}"
    kind = "a tree" if found["is_tree"] else f"a DAG ({found['several_parents']:,} nodes of several parents)"
    lines = [
        f"{kind}: {found['nodes']:,} nodes, {found['relations']:,} relations, {found['leaves']:,} leaves",
        f"height {found['height']}, depth {found['depth']}, {number}: {roots}",
    ]
    if found.get("classes", found["leaves"]) != found["leaves"]:
        lines.append(f"{found['classes']:,} classes listed")
    return "\n".join(lines)


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


def _check_options(
    kind: str, is_a: bool, string_ids: bool, names: Path | None, supercategory: str | None, remarks: bool
) -> None:
    """Refuse options that the form read has no use for."""
    uses = {
        "--is-a": (is_a, ("relations",)),
        "--string-ids": (string_ids, ("relations", "indented")),
        "--names": (names is not None, ("relations", "indented")),
        "--supercategory": (supercategory is not None, ("inaturalist",)),
        "--remarks": (remarks, ("indented",)),
    }
    for option, (given, kinds) in uses.items():
        if given and kind not in kinds:
            raise UsageError(
                f"{option}: has no meaning for --from {kind}; it goes with {' and '.join(kinds)}."
            )


def _read(
    kind: str,
    file: Path,
    is_a: bool,
    string_ids: bool,
    names: Path | None,
    supercategory: str | None,
    remarks: bool,
) -> "Taxonomy":
    if kind == "relations":
        return load_taxonomy(file, is_a, string_ids, names)
    if kind == "inaturalist":
        from perisphere.taxonomy.inaturalist import read_inaturalist

        return read_inaturalist(file, supercategory)
    if kind == "wordnet":
        from perisphere.taxonomy.wordnet import read_wordnet

        return read_wordnet(file)
    from perisphere.taxonomy.indented import read_indented
    from perisphere.taxonomy.names import read_names

    known = None if names is None else read_names(names, "" if string_ids else 0)
    return read_indented(file, known, remarks=remarks, string_ids=string_ids)


def _refuse_existing(targets: list[Path | None], overwrite: bool) -> None:
    """Refuse before anything is read, so that no half of the targets is written."""
    for target in targets:
        if target is not None and target.exists() and not overwrite:
            raise PerisphereError(f"{target}: exists already. Name another, or pass --overwrite.")


def _write_taxonomy(tree: "Taxonomy", out: Path, names_out: Path | None) -> None:
    from perisphere.taxonomy.names import write_names
    from perisphere.taxonomy.relations import write_relations

    write_relations(out, tree.pairs)
    if names_out is not None:
        write_names(names_out, tree.names)


def _report(tree: "Taxonomy", written: list[Path | None], as_json: bool) -> None:
    files = [str(file) for file in written if file is not None]
    if as_json:
        typer.echo(json.dumps({"written": files, **_summary(tree)}, indent=2))
        return
    typer.echo(f"{_in_words(_summary(tree))}\nwritten: {', '.join(files)}")
