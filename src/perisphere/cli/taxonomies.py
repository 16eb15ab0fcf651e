"""The options that say which taxonomy is meant, the same in every verb."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perisphere.errors import PerisphereError, UsageError

if TYPE_CHECKING:
    from perisphere.taxonomy import Id, Taxonomy

TaxonomyFile = Annotated[
    Path, typer.Argument(metavar="TAXONOMY", help="A file of lines PARENT CHILD; .gz too.")
]
TaxonomyOption = Annotated[
    Path | None, typer.Option("--taxonomy", help="A file of lines PARENT CHILD of the classes; .gz too.")
]
IsA = Annotated[bool, typer.Option("--is-a", help="Lines of the taxonomy are CHILD PARENT.")]
StringIds = Annotated[bool, typer.Option("--string-ids", help="Ids are texts, even where all are integers.")]
Names = Annotated[
    Path | None,
    typer.Option("--names", help="What ids are called: lines ID NAME, or a JSON class index."),
]
ClassList = Annotated[
    Path | None, typer.Option("--class-list", help="Ids of the classes: the first word of each line.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


def load_taxonomy(
    file: Path, is_a: bool = False, string_ids: bool = False, names: Path | None = None
) -> "Taxonomy":
    """Read a taxonomy as these options say; relations that stand several times are told on stderr."""
    from perisphere.taxonomy import Taxonomy

    taxonomy = Taxonomy.load(file, child_parent=is_a, ids="str" if string_ids else "auto", names=names)
    if taxonomy.repeated:
        plural = "s" * (taxonomy.repeated != 1)
        typer.echo(f"{file}: {taxonomy.repeated:,} repeated line{plural} dropped", err=True)
    return taxonomy


def optional_taxonomy(
    file: Path | None, is_a: bool = False, string_ids: bool = False, names: Path | None = None
) -> "Taxonomy | None":
    """Read the taxonomy of ``--taxonomy``, None without it.

    Raises:
        UsageError: an option that says how to read it stands without it.
    """
    if file is not None:
        return load_taxonomy(file, is_a, string_ids, names)
    given = {"--is-a": is_a, "--string-ids": string_ids, "--names": names is not None}
    for option, there in given.items():
        if there:
            raise UsageError(f"{option}: goes with --taxonomy FILE, which is missing.")
    return None


def load_classes(taxonomy: "Taxonomy", class_list: Path | None) -> "list[Id]":
    """Return the classes of ``--class-list``, all leaves without it."""
    from perisphere.taxonomy.class_list import read_class_list

    return list(taxonomy.leaves) if class_list is None else read_class_list(class_list, taxonomy)


def refuse_existing(targets: list[Path | None], overwrite: bool) -> None:
    """Refuse before anything is read, so that no half of the targets is written."""
    for target in targets:
        if target is not None and target.exists() and not overwrite:
            raise PerisphereError(f"{target}: exists already. Name another, or pass --overwrite.")
