"""``perisphere encoder``: pretrained networks, SIFT + VLAD, whitening, and changes of an Encoder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from perisphere.catalog import Catalog
    from perisphere.encoder import Encoder

encoder = typer.Typer(
    help="Pretrained networks, SIFT + VLAD, whitening, pooling and scales of Encoders.", no_args_is_help=True
)
app.add_typer(encoder, name="encoder")

Out = Annotated[Path, typer.Option("--out", "-o", help="The Encoder's folder to write.")]
Name = Annotated[str | None, typer.Option(help="The new Encoder's name.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier OUT.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")]
Split = Annotated[
    str | None, typer.Option(help="Learn from this split; default: train where there is one, else all.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is drawn at random.")]


@encoder.command("import")
def import_(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A local folder with config.json and model.safetensors.")
    ],
    out: Out,
    pool: Annotated[
        Literal["projection", "pooled", "cls", "mean"] | None,
        typer.Option(
            help="The vector that stands for a photo; default: the family's own for retrieval. projection: "
            "beside texts (CLIP); pooled: as the network pools; cls: the class token; mean: of the patches."
        ),
    ] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Leave out what reads texts, of CLIP and SigLIP.")
    ] = False,
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Make an Encoder of a pretrained network in the hub's format; nothing is downloaded, no code run.

    DINOv2, CLIP, SigLIP and SigLIP 2, ViT, ResNet, ConvNeXt and ConvNeXt V2. Photos are brought to the
    network as preprocessor_config.json says. With CLIP and SigLIP an index answers `search --text`.

    **Examples**

    `perisphere encoder import dinov2-base -o dinov2`

    `perisphere encoder import siglip-base-patch16-224 -o siglip`

    `perisphere encoder import dinov2-base -o dinov2-mean --pool mean --json`
    """
    from perisphere.encoder.from_hub import encoder_from_hub

    _write(encoder_from_hub(path, pool=pool, text=not no_text, name=name), out, overwrite, as_json)


@encoder.command("vlad")
def vlad(
    catalog: Annotated[Path, typer.Argument(help="A catalog folder; the words are learned from it.")],
    out: Out,
    words: Annotated[int, typer.Option(min=1, max=4096, help="Words of the vocabulary.")] = 64,
    keypoints: Annotated[
        int, typer.Option(min=0, max=100_000, help="Strongest key points of a photo; 0 takes all.")
    ] = 1000,
    root: Annotated[bool, typer.Option("--root/--no-root", help="RootSIFT or plain SIFT.")] = True,
    intra: Annotated[
        bool, typer.Option("--intra/--no-intra", help="Bring the part of each word to length one.")
    ] = True,
    power: Annotated[
        str, typer.Option(help="Exponent of each number, its sign kept; 1 leaves them alone.")
    ] = "1/2",
    dim: Annotated[
        int | None, typer.Option(min=1, help="Reduce to this many numbers by PCA with whitening.")
    ] = None,
    size: Annotated[
        int, typer.Option(min=16, max=8192, help="Shrink photos to this longer side in pixels.")
    ] = 1024,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Descriptors to learn from; default: 1,000 a word.")
    ] = None,
    split: Split = None,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=0, max=1024, help="Threads; 0: one a core.")] = 0,
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Learn a vocabulary of SIFT features and write an Encoder that describes photos by it.

    The Encoder is used like any other: `embed`, `index`, `search` and `evaluate` need no more. Photos without
    key points are skipped and counted.

    **Examples**

    `perisphere encoder vlad catalog -o vlad --words 64`

    `perisphere encoder vlad catalog -o vlad --words 64 --dim 256`

    `perisphere encoder vlad catalog -o older --words 16 --no-root --no-intra --size 8192`
    """
    from perisphere.catalog import Catalog
    from perisphere.cli.numbers import number
    from perisphere.codes import VladSpec
    from perisphere.encoder.fit_vlad import fit_vlad

    fields = {"words": words, "keypoints": keypoints, "root": root, "intra": intra, "power": number(power)}
    spec = _checked(VladSpec, fields)
    photos = _learnt_from(Catalog.load(catalog), split)
    made = fit_vlad(
        photos, spec, size=size, sample=sample, seed=seed, name=name or f"vlad-{words}", workers=workers
    )
    if dim is not None:
        from perisphere.encoder.fit_whitening import whiten as fit

        vectors, _ = _vectors(made, photos, workers)
        made = fit(made, vectors, dim)
        made.name = name or f"vlad-{words}-pca-{dim}"
    _write(made, out, overwrite, as_json)


@encoder.command("whiten")
def whiten(
    source: Annotated[Path, typer.Argument(metavar="ENCODER", help="An encoder folder.")],
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A catalog, or vectors that this encoder has embedded.")
    ],
    out: Out,
    dim: Annotated[
        int | None, typer.Option(min=1, help="Numbers an embedding; default: all that vary.")
    ] = None,
    kind: Annotated[
        Literal["pca", "learned"],
        typer.Option(help="pca; or learned from pairs of photos with one label, which it brings together."),
    ] = "pca",
    shrinkage: Annotated[
        float, typer.Option(min=0, max=1, help="Amplify weak directions less, 0 to 1; for few photos.")
    ] = 0.0,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs to learn from at most.")] = 200_000,
    split: Split = None,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=0, max=1024, help="Decoding threads; 0: one a core.")] = 0,
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Fit a whitening to an Encoder's vectors and write the Encoder that ends in it.

    Fit it on other photos than those to be searched, with the scales that will be used.

    **Examples**

    `perisphere encoder whiten encoder catalog -o whitened --dim 256`

    `perisphere encoder whiten encoder vectors -o whitened --kind learned --shrinkage 0.1 --json`
    """
    from perisphere.encoder import Encoder
    from perisphere.encoder.fit_whitening import whiten as fit

    plain = Encoder.load(source)
    vectors, labels = _vectors_of(plain, data, split, workers)
    made = fit(plain, vectors, dim, kind=kind, labels=labels, shrinkage=shrinkage, pairs=pairs, seed=seed)
    made.name = name or made.name
    _write(made, out, overwrite, as_json)


@encoder.command("change")
def change(
    source: Annotated[Path, typer.Argument(metavar="ENCODER", help="An encoder folder; it stays as it is.")],
    out: Out,
    pooling: Annotated[
        Literal["spoc", "mac", "gem", "gemmp", "rmac"] | None,
        typer.Option(help="From feature map to vector."),
    ] = None,
    gem_p: Annotated[float | None, typer.Option(help="GeM's exponent.")] = None,
    regional: Annotated[
        bool | None, typer.Option("--regional/--global", help="Pool R-MAC's regions, or the map as a whole.")
    ] = None,
    scales: Annotated[str | None, typer.Option(help="Factors of the input, as 1,1/sqrt(2),1/2.")] = None,
    power: Annotated[
        str | None, typer.Option(help="Of the mean over scales; default: p of a plain GeM, else 1.")
    ] = None,
    views: Annotated[
        Literal["one", "ten"] | None,
        typer.Option(help="ten: the mean over corners and middle of a larger picture, and their mirrors."),
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, max=8192, help="Side of the input in pixels.")] = None,
    resize: Annotated[
        Literal["squash", "crop", "pad", "long"] | None,
        typer.Option(help="long keeps the aspect ratio, limits the longer side, and never enlarges."),
    ] = None,
    preset: Annotated[
        Literal["legacy"] | None, typer.Option(help="legacy: 600 x 600, values 0 to 1, no mean or std.")
    ] = None,
    no_whitening: Annotated[bool, typer.Option("--no-whitening", help="Take the whitening off.")] = False,
    dim: Annotated[
        int | None, typer.Option(min=1, help="Keep this many directions of the whitening.")
    ] = None,
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a copy of an Encoder with another pooling, other scales or another input; same weights.

    **Examples**

    `perisphere encoder change encoder -o gem --pooling gem --scales "1,1/sqrt(2),1/2"`

    `perisphere encoder change encoder -o large --size 480 --resize long`

    `perisphere encoder change whitened -o short --dim 128`

    `perisphere encoder change alexnet -o ten-views --views ten`
    """
    from perisphere.cli.numbers import number, numbers
    from perisphere.encoder import Encoder, Preprocessing

    net = {"pooling": pooling, "gem_p": gem_p, "regional": regional}
    fields: dict[str, Any] = {} if preset is None else Preprocessing.legacy().model_dump()
    fields |= {} if size is None else {"size": (size, size)}
    fields |= {} if resize is None else {"resize": resize}
    options = {
        "net": {key: value for key, value in net.items() if value is not None},
        "preprocessing": fields,
        "factors": None if scales is None else numbers(scales),
        "power": None if power is None else number(power),
        "views": views,
        "dim": dim,
        "name": name,
    }
    if not no_whitening and all(value in (None, {}) for value in options.values()):
        raise UsageError("nothing to change; name an option, as --pooling gem or --size 480.")
    _write(
        _changed(Encoder.load(source), {**options, "keep_whitening": not no_whitening}),
        out,
        overwrite,
        as_json,
    )


def _changed(source: "Encoder", options: dict[str, Any]) -> "Encoder":
    from pydantic import ValidationError

    from perisphere.encoder.change import change as changed

    try:
        return changed(source, **options)
    except ValidationError as error:
        raise _wrong(error) from None


def _checked(model: Any, fields: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _wrong(error) from None


def _wrong(error: Any) -> UsageError:
    """Name the option of the first field that a model refused."""
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    option = {"factors": "--scales", "": ""}.get(field, f"--{field.replace('_', '-')}")
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] != "value_error":  # pydantic's own words name neither the value nor the mend
        said = f"{first['input']} {said.removeprefix('Input ')}; give such a value."
    return UsageError(f"{option}: {said}".removeprefix(": "))


def _learnt_from(catalog: "Catalog", split: str | None) -> "Catalog":
    return catalog.select(split=split or ("train" if "train" in catalog.splits() else None))


def _vectors_of(
    source: "Encoder", data: Path, split: str | None, workers: int
) -> tuple["np.ndarray", list[str | None]]:
    """Return the vectors that ``data`` holds, or that its photos have, and their labels."""
    from perisphere.catalog import Catalog
    from perisphere.encoder import Embeddings

    if (data / "catalog.json").is_file():
        return _vectors(source, _learnt_from(Catalog.load(data), split), workers)
    found = Embeddings.load(data)
    if found.encoder.get("identity") != source.identity:
        raise PerisphereError(
            f"{data}: its vectors are of the encoder {found.encoder.get('name')!r} "
            f"({found.encoder.get('identity')}), not of this one ({source.identity}). Embed with this one."
        )
    has_train = "train" in found.rows["split"].drop_nulls().unique()
    found = found.select(split=split or ("train" if has_train else None))
    return found.vectors, found.rows["label"].to_list()


def _vectors(source: "Encoder", catalog: "Catalog", workers: int) -> tuple["np.ndarray", list[str | None]]:
    """Embed a catalog, skipping what cannot be; the vectors lie in a file that is already deleted."""
    from tempfile import TemporaryDirectory

    from perisphere.encoder import embed

    with TemporaryDirectory(prefix="perisphere-") as folder:
        found = embed(catalog, source, Path(folder) / "vectors", workers=workers)
        return found.vectors, found.rows["label"].to_list()


def _write(made: "Encoder", out: Path, overwrite: bool, as_json: bool) -> None:
    made.save(out, overwrite=overwrite)
    if as_json:
        facts = {"out": str(out), "name": made.name, "identity": made.identity, "dim": made.dim}
        facts |= {} if made.text is None else {"text": True}
        typer.echo(json.dumps(facts | {"provenance": made.provenance}, default=str))
    else:
        reads = "" if made.text is None else ", reads texts"
        typer.echo(f"Wrote {out}: {made.name}, {made.dim} numbers an image{reads}, identity {made.identity}.")
