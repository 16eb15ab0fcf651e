"""Options of every command that embeds: what runs the network."""

from typing import Annotated

import typer

from perisphere.encoder.runtimes.names import Runtime

RUNTIME = Annotated[
    Runtime | None,
    typer.Option(
        "--runtime",
        help="What runs the network: torch, openvino or onnx. It is exported when first asked for.",
        show_default="torch",
    ),
]
INT8 = Annotated[
    bool,
    typer.Option("--int8", help="Take the int8 model that `perisphere encoder export --int8` made."),
]
