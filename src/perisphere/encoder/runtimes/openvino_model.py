"""OpenVINO: writing, quantising (NNCF) and running a model."""

import io
import sys
import threading
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from torch.export import ExportedProgram

from perisphere.encoder.runtimes.program import Samples, silent
from perisphere.errors import PerisphereError

XML, BIN = "model.xml", "model.bin"


def write(program: ExportedProgram, folder: Path) -> None:
    """Write ``model.xml`` and ``model.bin``."""
    openvino = _openvino()
    with silent():
        model = openvino.convert_model(program)
        openvino.save_model(model, folder / XML, compress_to_fp16=False)


def quantise(program: ExportedProgram, inputs: Samples, folder: Path, attention: bool) -> None:
    """Write the model with weights and activations of 8 bits, their ranges fitted to ``inputs``.

    Weights use half of their range everywhere: processors without VNNI add pairs of products in 16 bits,
    which saturate otherwise, so that the same model would give other vectors there.

    Args:
        program: in float32.
        inputs: to calibrate with.
        folder: where it is written.
        attention: whether the network is a transformer, whose attention stays in float32.
    """
    openvino, nncf = _openvino(), _nncf()
    with silent(), redirect_stdout(io.StringIO()):  # bars of NNCF's own
        quantised = nncf.quantize(
            openvino.convert_model(program),
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER if attention else None,
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
        )
        openvino.save_model(quantised, folder / XML, compress_to_fp16=False)


class Model:
    """A compiled model on the processor; threads take turns.

    Args:
        files: content of ``model.xml`` and ``model.bin``.
        bfloat16: multiply in bfloat16.
        threads: of the processor.

    Raises:
        PerisphereError: OpenVINO is not installed, or the files are not a model of plain operations.
    """

    def __init__(self, files: dict[str, bytes], *, bfloat16: bool, threads: int) -> None:
        openvino = _openvino()
        check_xml(files[XML])
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": str(threads),
            "NUM_STREAMS": "1",
        }
        self._turn = threading.Lock()
        try:
            core = openvino.Core()
            weights = openvino.Tensor(np.frombuffer(files[BIN], np.uint8))  # a copy, which the model keeps
            model = core.read_model(files[XML], weights)
            self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            raise PerisphereError(
                f"OpenVINO cannot read its model ({_line(error)}). Export it again with `perisphere encoder "
                "export`."
            ) from error

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 ``[n, d]`` of float32 ``[n, 3, h, w]``."""
        with self._turn:
            found = self._request.infer([images.contiguous().numpy()], share_inputs=True)
            return torch.from_numpy(np.array(found[0], np.float32))


def check_xml(content: bytes) -> None:
    """Refuse a model with operations that are not OpenVINO's own, which could call other code.

    Raises:
        PerisphereError: such an operation, or no model.
    """
    try:
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise ElementTree.ParseError("it declares entities")
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise PerisphereError(f"{XML}: is no model ({error}). Export it again.") from error
    if root.tag != "net":
        raise PerisphereError(f"{XML}: is no model (<{root.tag}>). Export it again.")
    for layer in root.iter("layer"):
        if not layer.get("version", "").startswith("opset"):
            raise PerisphereError(
                f"{XML}: has an operation {layer.get('type')!r} of {layer.get('version')!r}, which is not "
                "OpenVINO's own. Export it again."
            )


def software() -> dict[str, str]:
    """Return the version that writes and runs models."""
    return {"openvino": str(_openvino().__version__)}


def _openvino() -> Any:
    _send_nothing()
    return _imported("openvino")


def _nncf() -> Any:
    _send_nothing()
    return _imported("nncf")


def _send_nothing() -> None:
    """Keep OpenVINO's and NNCF's reports on their use, which they send home unless told, on this machine."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _imported(name: str) -> ModuleType:
    from importlib import import_module

    try:
        with silent():
            return import_module(name)
    except ImportError as error:
        raise PerisphereError(
            f"--runtime openvino needs {name}, which is not installed; run "
            "`pip install 'perisphere[openvino]'`."
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
