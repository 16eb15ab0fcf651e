"""``perisphere weights``: published weights into Encoders, and the architectures that take them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from perisphere.cli.main import app
from perisphere.errors import UsageError

if TYPE_CHECKING:
    from perisphere.encoder import Encoder
    from perisphere.nets import EmbeddingNet, MatchReport

SHOWN = 5  # names printed of a long list; --json has them all

weights = typer.Typer(
    help="Published weights into Encoders, running no code from the file.", no_args_is_help=True
)
app.add_typer(weights, name="weights")


@weights.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="A .pth, .pt, .ckpt, .safetensors, .npz, .npy or Keras .h5 file.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The Encoder's folder to write.")],
    architecture: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="One of `perisphere weights list`, or ctl-resnet50, ctl-resnet50-ibn-a, wikiscenes-resnet50 "
            "...; many checkpoints say it themselves.",
        ),
    ] = None,
    pooling: Annotated[
        Literal["spoc", "mac", "gem", "gemmp", "rmac"] | None,
        typer.Option(help="From feature map to vector; default spoc."),
    ] = None,
    gem_p: Annotated[float | None, typer.Option(help="GeM's exponent; default 3.")] = None,
    last_stride: Annotated[
        int | None, typer.Option(min=1, max=2, help="Stride of a ResNet's last stage; default 2.")
    ] = None,
    projection: Annotated[
        int | None, typer.Option(min=1, help="Project to this many numbers (fresh unless in the file).")
    ] = None,
    bnneck: Annotated[bool, typer.Option("--bnneck", help="End in a batch normalisation.")] = False,
    preset: Annotated[
        str,
        typer.Option(
            help="The input: the backbone's usual one; legacy (600 x 600, values 0 to 1); the file's; or "
            "a published data set's, e.g. cifar-100, nab-large, cub-ilsvrcmean."
        ),
    ] = "auto",
    size: Annotated[
        int | None, typer.Option(min=1, max=8192, help="Side of the input in pixels, if not the usual.")
    ] = None,
    whitening: Annotated[
        str | None,
        typer.Option(help="Take this whitening from the file: NAME/ss, or NAME/ms of three scales."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="Class points (.npz, .json, .pickle) that it was trained towards, for search by class."
        ),
    ] = None,
    tags: Annotated[
        Path | None, typer.Option(help="A tags folder that it was trained towards, of a checkpoint of WSDHQ.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The Encoder's name; by default the file's.")] = None,
    seed: Annotated[int, typer.Option(help="Of the parts that the file lacks.")] = 0,
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept a file that is not exactly of this backbone.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier OUT.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read published weights into an Encoder and say which parameters matched.

    Nothing in the file is run: pickles are read opcode by opcode against a list of what weights need, and a
    file that asks for more is refused with the name of what it asked for. Checkpoints of older landmark
    classifiers and of CNN image retrieval bring their own input, pooling and whitening. Keras 2's .h5 files
    (needs `perisphere[keras]`) bring their embedding layer. Lightning checkpoints of the centroid triplet
    program (`--as ctl-resnet50`) bring their BNNeck and input size. Checkpoints of WSDHQ (.npy,
    as `alexnet.npy` is) bring their codebooks, their input and ten views. The networks of WikiScenes
    (`--as wikiscenes-resnet50`; its classifiers end in `-cls`, class activation maps in `-cam`) segment, too.
    Any other classification head is left out: the Encoder classifies by the nearest of its `--classes` alone.

    **Examples**

    `perisphere weights import resnet50-19c8e357.pth --as resnet50 -o encoder`

    `perisphere weights import squeezenet_v1.0.npz --as squeezenet1_0 -o encoder --pooling gem`


    `perisphere weights import resnet101-gem.pth -o encoder --whitening retrieval-SfM-120k/ms`


    `perisphere weights import epoch=119.ckpt --as ctl-resnet50 -o encoder`

    `perisphere weights import alexnet.npy --as alexnet -o encoder`

    `perisphere weights import model_enc_e024Xs-0.800.pth --as wikiscenes-resnet50 -o segmenting`

    `perisphere weights import nab_rn50.model.h5 --as resnet50_v1 --preset nab --classes nab.npz -o encoder`
    """
    from perisphere.cli.search import given_classes
    from perisphere.encoder.from_checkpoint import encoder_from
    from perisphere.tags.tags import Tags

    pooled = pooling or ("spoc" if architecture else "gem")  # a checkpoint without --as says its own
    if gem_p is not None and pooled not in ("gem", "gemmp"):
        raise UsageError(f"--gem-p: means nothing for --pooling {pooled}. Leave it out, or pool with gem.")
    fields = {
        "backbone": architecture,
        "pooling": pooling,
        "gem_p": gem_p,
        "last_stride": last_stride,
        "projection": projection,
        "bnneck": bnneck or None,
    }
    with _named_options():
        encoder, report = encoder_from(
            file,
            {key: value for key, value in fields.items() if value is not None},
            preset=preset,
            size=size,
            whitening=whitening,
            name=name,
            seed=seed,
            partial=partial,
            classes=given_classes(classes),
            tags=None if tags is None else Tags.load(tags),
        )
    encoder.save(out, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(_facts(encoder, out) | asdict(report)))
    else:
        _print(report)
        typer.echo(
            f"Wrote {out}: {encoder.name}, {encoder.dim} numbers an image, identity {encoder.identity}."
        )


@weights.command("fresh")
def fresh(
    like: Annotated[str, typer.Argument(help="An Encoder's folder, or one of `perisphere weights list`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The Encoder's folder to write.")],
    size: Annotated[
        int | None, typer.Option(min=1, max=8192, help="Side of the input in pixels, if not the usual.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random values.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier OUT.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")] = False,
) -> None:
    """Make an untrained Encoder: what a trained one is to be compared with.

    `pixels` is the plainest of all: the photo itself, scaled down, its mean colour taken away.

    **Examples**

    `perisphere weights fresh training/encoder -o untrained`

    `perisphere weights fresh pixels --size 32 -o pixels`
    """
    from perisphere.codes import VladNet
    from perisphere.encoder import Encoder
    from perisphere.errors import UsageError
    from perisphere.nets import EmbeddingNet, NetSpec, SegmentationNet, build, build_segmentation

    provenance: dict[str, object] = {"weights": "random", "seed": seed}
    if Path(like).is_dir():
        known = Encoder.load(like)
        net: EmbeddingNet | SegmentationNet
        if isinstance(known.net, VladNet):
            raise UsageError(f"{like}: SIFT + VLAD has no weights to draw. Name a network's Encoder.")
        preprocessing = known.preprocessing
        if size is not None:
            preprocessing = preprocessing.at_size(size, size)
        if isinstance(known.net, SegmentationNet):
            net = build_segmentation(known.net.spec, seed=seed)
        elif not isinstance(known.net, EmbeddingNet):
            raise UsageError(
                f"{like}: its network was imported in the hub's format, for which no weights are drawn. Name "
                "another Encoder, or an architecture."
            )
        else:
            spec = known.net.spec
            if size is not None and spec.input_size is not None:
                spec = NetSpec.model_validate(spec.model_dump() | {"input_size": size})
            net = build(spec, seed=seed)
        name = f"{known.name.removesuffix('-untrained')}-untrained"
        encoder = Encoder(net, preprocessing, name=name, provenance=provenance)
    else:
        options: dict[str, object] = {"backbone": like}
        if like == "pixels":
            options["input_size"] = size or 32
        with _named_options():
            net = build(NetSpec.model_validate(options), seed=seed)
        encoder = _encoder(net, size, f"{like}-untrained", provenance)
    encoder.save(out, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(_facts(encoder, out)))
    else:
        typer.echo(
            f"Wrote {out}: {encoder.name}, {encoder.dim} numbers an image, identity {encoder.identity}."
        )


def _facts(encoder: "Encoder", out: Path) -> dict[str, object]:
    return {"out": str(out), "name": encoder.name, "identity": encoder.identity, "dim": encoder.dim}


@contextmanager
def _named_options() -> Iterator[None]:
    """Turn what a network's specification refuses into an error of the option."""
    from pydantic import ValidationError

    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        key = "_".join(str(part) for part in first["loc"])
        option = "--as" if key in ("backbone", "") else f"--{key.replace('_', '-')}"
        raise UsageError(f"{option}: {first['msg'].removeprefix('Value error, ')}") from None


def _encoder(net: "EmbeddingNet", size: int | None, name: str, provenance: dict[str, object]) -> "Encoder":
    from perisphere.encoder import Encoder, Preprocessing
    from perisphere.nets import input_spec

    preprocessing = Preprocessing.for_architecture(input_spec(net.spec.backbone), size=size)
    return Encoder(net, preprocessing, name=name, provenance=provenance)


def _print(report: "MatchReport") -> None:
    typer.echo(f"{len(report.matched)} parameters matched.")
    differing = [
        f"{d.name} {list(d.in_file)} in the file, {list(d.in_net)} here" for d in report.shape_differs
    ]
    for what, names in (
        ("missing in the file (fresh values)", report.missing),
        ("of another shape (fresh values)", differing),
        ("of the classification layer (left out)", report.classifier),
        ("without a place here (left out)", report.unexpected),
    ):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            typer.echo(f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}")


@weights.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """List the architectures: parameters, numbers an image, expected input.

    The networks for 32-pixel images published with hierarchy-based embeddings, and nasnet-a, also exist as
    NAME-selu; resnet-32-fc and resnet-110-fc are resnet-32 and resnet-110 with a projection.

    **Examples**

    `perisphere weights list`
    """
    from perisphere.nets import describe

    rows = describe()
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows]))
        return
    column = max(len(row.name) for row in rows)
    typer.echo(f"{'name':<{column}}{'parameters':>13}{'dim':>7}  input")
    for row in rows:
        height, width = row.input.size
        typer.echo(
            f"{row.name:<{column}}{row.parameters:>13,}{row.dim:>7}  "
            f"{height} x {width} {row.input.channels}, {row.input.resize}"
        )
