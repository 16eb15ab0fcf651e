"""Which model runs an encoder's network, and the model set up."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from perisphere.encoder.runtimes.compiled import Compiled
from perisphere.encoder.runtimes.exported import Exported, read
from perisphere.encoder.runtimes.names import Engine, Runtime, checked, engine, model_name
from perisphere.encoder.runtimes.places import found
from perisphere.errors import PerisphereError, UsageError

if TYPE_CHECKING:
    from perisphere.encoder.encoder import Encoder


def int8_model(encoder: "Encoder", runtime: Runtime, int8: bool) -> Exported | None:
    """Return the model of 8 bits that embeds in an encoder's place, ``None`` without ``int8``.

    Raises:
        UsageError: no such runtime, or another one than that of an encoder that is int8.
        PerisphereError: no such model was exported, or it is damaged.
    """
    checked(runtime)
    if encoder.int8 is not None:
        own = encoder.int8.manifest.runtime
        if runtime != own:
            raise UsageError(
                f"--runtime {runtime}: the encoder {encoder.name!r} is int8 by {own}. Leave --runtime out."
            )
        return encoder.int8
    if not int8:
        return None
    if runtime == "torch":
        raise UsageError("--int8: torch runs no such model; add --runtime openvino or --runtime onnx.")
    identity = encoder.float_identity
    folder = found(encoder.path, identity, model_name(runtime, True))
    if folder is None:
        raise PerisphereError(
            f"{encoder.path or encoder.name}: has no int8 model for {runtime}. Make one with `perisphere "
            f"encoder export {encoder.path or 'ENCODER'} --runtime {runtime} --int8 --calibrate CATALOG`."
        )
    return Exported.load(folder, engine=runtime, encoder=identity, int8=True)


def compiled(encoder: "Encoder", device: str | torch.device | None, precision: str) -> Compiled:
    """Set up the model that runs an encoder's network; it is exported first where it was not before.

    Args:
        encoder: whose runtime is not torch.
        device: must be the processor, or left to choice.
        precision: as for torch; ONNX Runtime has float32 alone.

    Raises:
        UsageError: another device or precision than the runtime has.
        PerisphereError: the runtime is not installed, or the network cannot be exported.
    """
    runtime = engine(encoder.runtime)
    if device is not None and torch.device("cpu" if device == "auto" else device).type != "cpu":
        raise UsageError(
            f"--device {device}: {runtime} runs on the processor here. Use cpu, or --runtime torch."
        )
    bfloat16 = _bfloat16(encoder, runtime, precision)
    model = encoder.int8 or _float_model(encoder, runtime)
    run = ready(runtime, model.folder, model.manifest.files, bfloat16=bfloat16)
    dtype = torch.int8 if encoder.int8 else torch.bfloat16 if bfloat16 else torch.float32
    return Compiled(runtime, dtype, run)


def ready(
    runtime: Engine, folder: Path, files: dict[str, str], *, bfloat16: bool = False
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what runs the model in a folder, whose files must have these hashes."""
    content = {name: read(folder, name, expected) for name, expected in files.items()}
    model: Callable[[torch.Tensor], torch.Tensor] = module_of(runtime).Model(
        content, bfloat16=bfloat16, threads=torch.get_num_threads()
    )
    return model


def module_of(runtime: Engine) -> Any:
    """Return the module that writes, quantises and runs models of a runtime."""
    return import_module(f"perisphere.encoder.runtimes.{runtime}_model")


def _float_model(encoder: "Encoder", runtime: Engine) -> Exported:
    identity = encoder.float_identity
    folder = found(encoder.path, identity, model_name(runtime, False))
    if folder is None:
        from perisphere.encoder.runtimes.export import export

        return export(encoder, runtime)
    return Exported.load(folder, engine=runtime, encoder=identity, int8=False)


def _bfloat16(encoder: "Encoder", runtime: Engine, precision: str) -> bool:
    from perisphere.encoder.inference import choose_precision

    if encoder.int8 or runtime == "onnx":
        if precision not in ("auto", "float32"):
            what = "int8 models" if encoder.int8 else "ONNX Runtime on a processor"
            raise UsageError(f"precision {precision!r}: {what} cannot. Use auto.")
        return False
    return choose_precision(precision, torch.device("cpu")) is torch.bfloat16
