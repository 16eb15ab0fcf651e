"""``perisphere taxonomy convert`` and ``reduce``: other forms to parent-child files, and DAGs to trees."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

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
from perisphere.cli.taxonomy import taxonomy
from perisphere.cli.taxonomy_text import in_words, summary
from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.taxonomy import Taxonomy


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
    refuse_existing([out, names_out], overwrite)
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

    refuse_existing([out, names_out], overwrite)
    whole = load_taxonomy(file, is_a, string_ids, names)
    classes = load_classes(whole, class_list)
    tree = reduce_to_tree(restrict(whole, classes), classes)
    _write_taxonomy(tree, out, names_out)
    _report(tree, [out, names_out], as_json)


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


def _write_taxonomy(tree: "Taxonomy", out: Path, names_out: Path | None) -> None:
    from perisphere.taxonomy.names import write_names
    from perisphere.taxonomy.relations import write_relations

    write_relations(out, tree.pairs)
    if names_out is not None:
        write_names(names_out, tree.names)


def _report(tree: "Taxonomy", written: list[Path | None], as_json: bool) -> None:
    files = [str(file) for file in written if file is not None]
    if as_json:
        typer.echo(json.dumps({"written": files, **summary(tree)}, indent=2))
        return
    typer.echo(f"{in_words(summary(tree))}\nwritten: {', '.join(files)}")
