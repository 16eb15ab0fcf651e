"""``perisphere codes``: codebooks that shrink an embedding to a few bytes, and the codes themselves."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from perisphere.codes import Codebooks
    from perisphere.codes.code_folder import CodeFolder
    from perisphere.encoder import Embeddings

codes = typer.Typer(
    name="codes",
    help="Shrink embeddings to a few bytes: fit codebooks, encode, search.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(codes)

Vectors = Annotated[Path, typer.Argument(metavar="VECTORS", help="Embeddings, from `perisphere embed`.")]
Split = Annotated[str | None, typer.Option(help="Only these splits, separated by commas.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is drawn at random.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier OUT.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@codes.command("fit")
def fit(
    vectors: Vectors,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT.npz", help="The codebooks to write.")],
    kind: Annotated[
        Literal["pq", "opq", "rq", "additive"] | None,
        typer.Option(help="Product, optimised product, residual or additive (default)."),
    ] = None,
    bits: Annotated[int | None, typer.Option(min=8, help="Of a code, a multiple of 8; default: 32.")] = None,
    words: Annotated[
        int | None, typer.Option(min=2, max=256, help="Words of a book; default: 256. Fewer for few vectors.")
    ] = None,
    tags: Annotated[
        Path | None,
        typer.Option(
            metavar="TAGS|ENCODER", help="Errors count as these tags see them (additive), as in training."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(metavar="CODEBOOKS|ENCODER", help="Go on from these codebooks (additive)."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Features of the lengths that the network gave, not unit rows.")
    ] = False,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Of codes and words in turn (additive); default: 5.")
    ] = None,
    split: Split = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Fit codebooks to embeddings: of their split `train` where there is one, else of all.

    A code is one byte for each book of 256 words; what it stands for is the sum of the words. `pq`, `opq` and
    `rq` are FAISS's; `additive` chooses codes and words in turn and loses least of the vectors that it is
    fitted to. Of more vectors than 256 a word, so many are drawn.

    **Examples**

    `perisphere codes fit vectors -o codebooks.npz --bits 32`

    `perisphere codes fit vectors -o opq.npz --kind opq --bits 16 --json`

    `perisphere codes fit vectors -o tagged.npz --tags tags --start training/encoder`
    """
    from perisphere.cli.taxonomies import refuse_existing
    from perisphere.codes.unsupervised import ROUNDS
    from perisphere.encoder import Embeddings
    from perisphere.encoder.coded import fit_codebooks, refit_codebooks

    method = kind or "additive"
    _check_fit(method, bits, words, tags, start, rounds)
    if out.suffix != ".npz":
        raise UsageError(f"--out {out}: codebooks are written as .npz. Name such a file.")
    refuse_existing([out], overwrite)
    found = Embeddings.load(vectors)
    has_train = "train" in found.rows["split"].drop_nulls().unique()
    found = _selected(found, split or ("train" if has_train else None))
    unit = not raw
    root = None if tags is None else _root(tags, unit)
    rounds = rounds or ROUNDS
    if start is None:
        books = (bits or 32) // 8
        made = fit_codebooks(
            found, method, books, words or 256, unit=unit, root=root, rounds=rounds, seed=seed
        )
    else:
        made = refit_codebooks(found, _codebooks(start), unit=unit, root=root, rounds=rounds, seed=seed)
    made.save(out)
    _report({"out": str(out)} | _facts(made), as_json)


def _check_fit(
    method: str,
    bits: int | None,
    words: int | None,
    tags: Path | None,
    start: Path | None,
    rounds: int | None,
) -> None:
    if bits is not None and bits % 8:
        raise UsageError(f"--bits {bits}: a code takes a byte a book; give a multiple of 8.")
    if method != "additive":
        for name, value in (("--tags", tags), ("--start", start), ("--rounds", rounds)):
            if value is not None:
                raise UsageError(f"{name} is for additive codebooks; leave it or --kind {method} out.")
    if start is not None and (bits is not None or words is not None):
        raise UsageError("--start brings its own books and words; leave --bits and --words out.")


@codes.command("encode")
def encode(
    vectors: Vectors,
    codebooks: Annotated[
        Path, typer.Option("--codebooks", "-c", metavar="CODEBOOKS|ENCODER", help="What to encode with.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    sweeps: Annotated[
        int | None, typer.Option(min=0, help="Through all books; default: 3 (residual: 0).")
    ] = None,
    restarts: Annotated[
        int | None, typer.Option(min=0, help="Perturbations; default: 4 (residual: 0).")
    ] = None,
    beam: Annotated[int | None, typer.Option(min=0, help="Its width; default: 8 (residual: 16).")] = None,
    split: Split = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Encode embeddings; more sweeps, restarts and a wider beam lose less and take longer.

    Writes `codes.npy` (a byte a book), `rows.parquet`, `codebooks.npz` and `codes.json`. A product code is
    exact, so there is nothing to choose.

    **Examples**

    `perisphere codes encode vectors --codebooks codebooks.npz -o codes`

    `perisphere codes encode vectors -c training/encoder -o codes --restarts 16 --beam 16 --json`
    """
    from perisphere.encoder import Embeddings
    from perisphere.encoder.coded import encode_embeddings
    from perisphere.storage import check_replaceable

    books = _codebooks(codebooks)
    options = {"sweeps": sweeps, "restarts": restarts, "beam": beam}
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if books.kind == "product" and books.metric is None and given:
        raise UsageError(f"{given[0]}: a product code is exact without a search; leave it out.")
    check_replaceable(out, overwrite)
    found = _selected(Embeddings.load(vectors), split)
    made = encode_embeddings(found, books, **options, seed=seed)
    made.save(out, overwrite=overwrite)
    _report({"out": str(out)} | _folder_facts(made), as_json)


@codes.command("info")
def info(
    source: Annotated[
        Path, typer.Argument(metavar="CODES|CODEBOOKS|ENCODER", help="A folder of codes, or codebooks.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say what codes or codebooks are: their kind and size, what they lose, and what made them.

    **Examples**

    `perisphere codes info codes`

    `perisphere codes info codebooks.npz --json`
    """
    from perisphere.codes.code_folder import DESCRIPTION, CodeFolder

    if (source / DESCRIPTION).is_file():
        facts = _folder_facts(CodeFolder.load(source))
    else:
        facts = _facts(_codebooks(source))
    _report({"source": str(source)} | facts, as_json)


@codes.command("search")
def search(
    folder: Annotated[Path, typer.Argument(metavar="CODES", help="A folder of codes.")],
    query: Annotated[
        list[Path], typer.Argument(metavar="QUERY...", help="Embeddings, or photos with --encoder.")
    ],
    encoder: Annotated[
        Path | None, typer.Option("--encoder", "-e", help="What embeds photos; the one that made the codes.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Results a query, at most.")] = 5,
    symmetric: Annotated[
        bool, typer.Option("--symmetric", help="Encode the queries as well: faster comparisons, less exact.")
    ] = False,
    split: Split = None,
    as_json: AsJson = False,
) -> None:
    """Rank a folder of codes for each query, by the inner product with what the codes decode to.

    For a collection that grows, with filters and a short list re-ranked by the vectors, make an index
    with `--codes`.

    **Examples**

    `perisphere codes search codes vectors --split query -k 10 --json`

    `perisphere codes search codes photo.jpg --encoder encoder`
    """
    from perisphere.codes.code_folder import CodeFolder
    from perisphere.search.code_scan import nearest_codes

    opened = CodeFolder.load(folder)
    names, asked = _queries(opened, query, encoder, symmetric, split)
    if symmetric:
        asked = opened.codebooks.decode(opened.codebooks.encode(asked))
    rows, scores = nearest_codes(opened.codebooks, opened.codes, asked, k)
    paths = opened.rows["path"].to_list()
    answers = [
        {
            "query": name,
            "results": [
                {"path": paths[row], "score": round(score, 6)} for row, score in zip(*found, strict=True)
            ],
        }
        for name, *found in zip(names, rows.tolist(), scores.tolist(), strict=True)
    ]
    if as_json:
        typer.echo(json.dumps({"codes": str(folder), "symmetric": symmetric, "answers": answers}, indent=2))
        return
    for answer in answers:
        _show_answer(answer)


def _show_answer(answer: dict[str, Any]) -> None:
    from perisphere.catalog.images import display

    typer.echo(display(Path(answer["query"])))
    for place, result in enumerate(answer["results"], 1):
        typer.echo(f"  {place:>3}  {result['score']:.4f}  {display(Path(result['path']))}")


def _queries(
    opened: "CodeFolder", query: list[Path], encoder: Path | None, symmetric: bool, split: str | None
) -> "tuple[list[str], np.ndarray]":
    """Return the names and vectors of the queries: rows of one embeddings folder, or photos."""
    from perisphere.encoder import Embeddings
    from perisphere.encoder.coded import check_encoder, features

    unit = opened.codebooks.unit
    if encoder is None:
        if len(query) > 1 or not query[0].is_dir():
            raise UsageError("photos need the encoder that made the codes; name it with --encoder.")
        found = _selected(Embeddings.load(query[0]), split)
        check_encoder(opened.codebooks, found)
        return found.rows["path"].to_list(), features(found, slice(None), unit=unit)
    if split is not None:
        raise UsageError("--split chooses rows of embeddings; leave it or --encoder out.")
    if symmetric and not unit:
        raise UsageError("--symmetric with codebooks of raw features needs embeddings, which keep lengths.")
    return [str(path) for path in query], _embedded(opened, query, encoder)


def _embedded(opened: "CodeFolder", photos: list[Path], folder: Path) -> "np.ndarray":
    from perisphere.encoder import Encoder

    encoder, made = Encoder.load(folder), opened.encoder.get("identity")
    if made and made != encoder.identity:
        raise PerisphereError(
            f"{folder}: its identity is {encoder.identity}, but the encoder {made} made these codes; name "
            "that one with --encoder."
        )
    return encoder.encode(photos)


def _selected(found: "Embeddings", split: str | None) -> "Embeddings":
    return found.select(split=None if split is None else split.split(","))


def _codebooks(path: Path) -> "Codebooks":
    from perisphere.encoder.named import codebooks_at

    return codebooks_at(path)


def _root(path: Path, unit: bool) -> "np.ndarray":
    """Return the root of the metric of tags: of unit tag vectors for unit rows, else as published."""
    from perisphere.codes.metric import metric_root
    from perisphere.encoder.named import tags_at

    tags = tags_at(path)
    return metric_root(tags.unit if unit else tags.vectors)


def _facts(codebooks: "Codebooks") -> dict[str, Any]:
    return {
        "kind": codebooks.kind,
        "books": codebooks.books,
        "words": int(codebooks.words.shape[1]),
        "bits": codebooks.bits,
        "dim": codebooks.dim,
        "unit": codebooks.unit,
        "metric": "euclidean" if codebooks.metric is None else "tags",
        "fingerprint": codebooks.fingerprint,
        "about": codebooks.about,
    }


def _folder_facts(folder: "CodeFolder") -> dict[str, Any]:
    return {"images": len(folder), "run": folder.run, "encoder": folder.encoder, **_facts(folder.codebooks)}


def _report(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
        return
    lost = facts.get("run", facts["about"]).get("lost")
    images = "" if "images" not in facts else f"{facts['images']} images, "
    rows = "unit rows" if facts["unit"] else "features of their own lengths"
    words = f"{facts['books']} x {facts['words']} {facts['kind']} words of {facts['dim']} numbers"
    share = "" if lost is None else f"; {100 * lost:.1f} % of the squared lengths lost"
    where = f"Wrote {facts['out']}" if "out" in facts else facts["source"]
    metric = "" if facts["metric"] == "euclidean" else " as tags see them"
    typer.echo(f"{where}: {images}{facts['bits']} bits an image, {words} for {rows}{metric}{share}.")
