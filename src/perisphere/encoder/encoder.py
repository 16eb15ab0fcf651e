"""The Encoder: what turns a picture into a point on the sphere, as one folder."""

import copy
import hashlib
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import PIL
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import perisphere
from perisphere.codes import VladNet, VladSpec
from perisphere.codes.codebooks import Codebooks
from perisphere.encoder.companions import Companions
from perisphere.encoder.inference import Inference, Net, Precision
from perisphere.encoder.loading import Source, batches
from perisphere.encoder.preprocessing import Box, Preprocessing
from perisphere.encoder.runtimes.compiled import Compiled
from perisphere.encoder.runtimes.exported import Exported
from perisphere.encoder.runtimes.names import Runtime
from perisphere.encoder.scales import Scales
from perisphere.encoder.text_tower import TextTower
from perisphere.encoder.whitening import Whitening
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import (
    NetSpec,
    SegmentationNet,
    SegmentationSpec,
    TransformersNet,
    TransformersSpec,
    build,
    build_segmentation,
)
from perisphere.nets.pretrained import check_library
from perisphere.storage import sha256, whole_folder
from perisphere.tags import Tags
from perisphere.taxonomy import ClassPoints

FORMAT = 2  # 2: several scales, whitening, VLAD
NO_DIRECTION = "its embedding is zero and has no direction"
DESCRIPTION, WEIGHTS = "encoder.json", "weights.safetensors"
MEAN, PROJECTION = "whitening.mean", "whitening.projection"

Spec: TypeAlias = NetSpec | SegmentationSpec | TransformersSpec | VladSpec
"""Of what an encoder can hold."""


class Encoder:
    """A network with its exact preprocessing, what follows it, and its history.

    Attributes:
        net: the network, one that segments too, or VLAD; its output need not be normalised.
        preprocessing: from decoded pixels to the network's input.
        scales: at which, and in how many views, a picture is embedded.
        whitening: applied to the unit vectors, if any, before they are brought to length one again.
        name: for people.
        provenance: what it was trained on and how (JSON values).
        metrics: name to value, as measured after training (JSON values).
        classes: points of classes in the space of the embeddings, if it was trained towards them; any of
            them, and any node above them in their taxonomy, can be searched for.
        tags: tags whose vectors it was trained towards, if any; words of them can be searched for.
        codebooks: that compress its embeddings, if any.
        text: what reads texts into the space of the embeddings, if anything does (CLIP, SigLIP).
        path: the folder that it was loaded from or saved to, if any.
        runtime: what runs the network; see :meth:`on`.
        int8: the model of 8 bits that embeds in the network's place, if any.
    """

    def __init__(
        self,
        net: Net,
        preprocessing: Preprocessing,
        *,
        name: str,
        provenance: dict[str, Any] | None = None,
        metrics: dict[str, Any] | None = None,
        scales: Scales | None = None,
        whitening: Whitening | None = None,
        classes: ClassPoints | None = None,
        tags: Tags | None = None,
        codebooks: Codebooks | None = None,
        text: TextTower | None = None,
    ) -> None:
        self.net = net
        self.preprocessing = preprocessing
        self.scales = scales or Scales()
        self.whitening = _fitting(whitening, net.dim)
        _check_scales(self.scales, net, preprocessing)
        self.name = name
        self.provenance = provenance or {}
        self.metrics = metrics or {}
        Companions(classes, tags, codebooks, text).check(self.dim)
        self.classes = classes
        self.tags = tags
        self.codebooks = codebooks
        self.text = text
        self.path: Path | None = None
        self.runtime: Runtime = "torch"
        self.int8: Exported | None = None
        self._compiled: dict[str, Compiled] = {}
        self._set_up: dict[tuple, Inference] | None = None

    @property
    def dim(self) -> int:
        """Numbers in an embedding."""
        return self.whitening.dim if self.whitening else self.net.dim

    @property
    def segmentation(self) -> SegmentationNet:
        """The network, where it is one that segments.

        Raises:
            PerisphereError: it is another.
        """
        if not isinstance(self.net, SegmentationNet):
            raise PerisphereError(
                f"the encoder {self.name!r} cannot segment. Train one that can with `method: segmentation` "
                "(`perisphere recipes list`), or import one with `perisphere weights import --as "
                "wikiscenes-resnet50`."
            )
        return self.net

    @property
    def identity(self) -> str:
        """16 hexadecimal digits; equal exactly where two encoders map into the same space.

        A digest of the network's specification, the preprocessing, the scales, and the weights with the
        whitening. Options that stand at their default are left out, so that a later version with more
        options gives the same digest. A model of 8 bits has one of its own.
        """
        if self.int8 is None:
            return self.float_identity
        return hashlib.sha256(f"{self.float_identity} {self.int8.digest}".encode()).hexdigest()[:16]

    @property
    def float_identity(self) -> str:
        """The same of the network in float32, whatever runs it."""
        digest = hashlib.sha256()
        parts = (self.net.spec, self.preprocessing, *([] if self.scales == Scales() else [self.scales]))
        for part in parts:
            digest.update(json.dumps(part.model_dump(exclude_defaults=True), sort_keys=True).encode())
        for name, tensor in sorted(self._weights().items()):
            if not name.endswith("num_batches_tracked"):  # counts training steps, changes no embedding
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]

    def encode(
        self,
        images: Sequence[Source],
        *,
        boxes: Sequence[Box | None] | None = None,
        batch_size: int = 32,
        device: str | torch.device | None = None,
        workers: int = 0,
        precision: Precision = "auto",
        runtime: Runtime | None = None,
    ) -> np.ndarray:
        """Embed pictures.

        A path, an open Pillow picture and an array of the same pixels give the same row; large JPEG files are
        decoded at reduced size, which moves a row by about as much as saving the JPEG once more.

        Args:
            images: paths, whole files as bytes, Pillow pictures or uint8 RGB arrays ``[h, w, 3]``.
            boxes: the part of each picture to embed, ``x0, y0, x1, y1`` in pixels; ``None``: all of it.
            batch_size: pictures that pass through the network at once.
            device: a torch device; ``None`` takes the fastest kind that is there.
            workers: decoding threads; 0 means one a core.
            precision: ``auto`` takes bfloat16 where the device has it in hardware.
            runtime: what runs the network; ``None``: the encoder's own (see :meth:`on`).

        Returns:
            float32 ``[n, dim]``, rows of length one, in the order of ``images``.

        Raises:
            PerisphereError: a picture that cannot be read, an embedding that is not finite, or a zero
                embedding, which has no direction.
        """
        inference = self.inference(device=device, precision=precision, runtime=runtime)
        vectors = np.empty((len(images), self.dim), np.float32)
        read = batches(images, inference.preprocessing, batch_size=batch_size, workers=workers, boxes=boxes)
        for batch in read:
            if batch.failures:
                raise batch.failures[0][1]
            rows = inference(batch.pictures)
            empty = np.flatnonzero(~rows.any(axis=1))
            if len(empty):
                place = batch.start + int(empty[0])
                source = images[place]
                named = str(source) if isinstance(source, str | Path) else f"image {place}"
                raise PerisphereError(f"{named}: {NO_DIRECTION}; leave it out.")
            vectors[batch.start : batch.stop] = rows
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts into the space of the pictures.

        Args:
            texts: none of them empty; those longer than the network reads are cut off.

        Returns:
            float32 ``[n, dim]``, rows of length one, in the order of ``texts``.

        Raises:
            PerisphereError: the encoder reads no texts.
            UsageError: a text is empty.
        """
        if self.text is None:
            raise PerisphereError(
                f"the encoder {self.name!r} reads no texts. Import one that does, of CLIP or SigLIP, with "
                "`perisphere encoder import`."
            )
        return self.text(texts)

    def inference(
        self,
        *,
        device: str | torch.device | None = None,
        precision: Precision = "auto",
        unit: bool = True,
        runtime: Runtime | None = None,
        int8: bool = False,
    ) -> Inference:
        """Set up the network on ``device``; to be held by whoever embeds again and again.

        Without ``unit`` rows keep the length that the network, or the whitening, gives them. ``runtime`` and
        ``int8`` are those of :meth:`on`; left out, they are the encoder's own.
        """
        key = (device, precision, unit, runtime, int8)
        if self._set_up is not None and key in self._set_up:
            return self._set_up[key]
        bound = self.on(runtime, int8=int8)
        made = Inference(
            self.net,
            self.preprocessing,
            device=device,
            precision=precision,
            scales=self.scales,
            whitening=self.whitening,
            unit=unit,
            compiled=None if bound.runtime == "torch" else bound._running(device, precision),
        )
        if self._set_up is not None:
            self._set_up[key] = made
        return made

    def standing(self) -> "Encoder":
        """Return the same encoder, which keeps what :meth:`inference` sets up: for many small calls.

        Its network must not change any more.
        """
        bound = copy.copy(self)
        bound._set_up = {}
        return bound

    def on(self, runtime: Runtime | None = None, *, int8: bool = False) -> "Encoder":
        """Return the same encoder, whose network another runtime runs.

        Its vectors are torch's up to 1e-3, and its identity is the same. With ``int8`` it is another encoder,
        with an identity of its own: a model that `perisphere encoder export --int8` made embeds in its place.

        Args:
            runtime: ``torch``, ``openvino`` or ``onnx``; the network is exported to it when it first runs,
                unless it was before. ``None`` leaves it.
            int8: take the model of 8 bits.

        Raises:
            UsageError: no such runtime, or another one than that of an encoder that is int8.
            PerisphereError: no model of 8 bits was exported.
        """
        from perisphere.encoder.runtimes.choice import int8_model

        bound = copy.copy(self)
        bound.runtime = runtime or self.runtime
        bound.int8 = int8_model(self, bound.runtime, int8)
        bound._compiled = self._compiled if bound.int8 is self.int8 else {}
        bound._set_up = None
        return bound

    def _running(self, device: str | torch.device | None, precision: Precision) -> Compiled:
        """Return the network as its runtime runs it, made once."""
        from perisphere.encoder.runtimes.choice import compiled

        key = f"{self.runtime} {precision} {torch.get_num_threads()}"
        if key not in self._compiled:
            self._compiled[key] = compiled(self, device, precision)
        return self._compiled[key]

    def save(self, folder: Path | str, *, overwrite: bool = False) -> Path:
        """Write ``encoder.json``, ``weights.safetensors`` and what goes with them into a new folder.

        Class points go into ``classes.npz``, tags into ``tags/``, codebooks into ``codebooks.npz``.
        The folder appears whole or not at all.

        Raises:
            PerisphereError: ``folder`` exists and ``overwrite`` is false, or the disk refuses.
        """
        folder = Path(folder)
        with whole_folder(folder, overwrite=overwrite) as part:
            try:
                save_file(self._weights(), part / WEIGHTS)
            except SafetensorError as error:  # its form of OSError
                raise PerisphereError(f"{folder}: cannot be written ({error}).") from error
            if self.int8 is not None:
                self.int8.copy_to(part)
            text = json.dumps(self._description(part), indent=2, ensure_ascii=False, default=_plain)
            (part / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        self.path = folder.absolute()
        return folder

    @classmethod
    def load(cls, folder: Path | str) -> "Encoder":
        """Read an encoder folder.

        Raises:
            PerisphereError: a file is missing, damaged, from another encoder or of a newer format.
        """
        folder = Path(folder)
        described = _read_description(folder)
        try:
            spec = _spec(described["net"])
            scales = Scales.model_validate(described.get("scales", {}))
            preprocessing = Preprocessing.model_validate(described["preprocessing"])
            name, weights_hash = str(described["name"]), described["weights_sha256"]
        except (AttributeError, KeyError, TypeError, ValidationError) as error:
            raise _damaged(folder / DESCRIPTION, " ".join(str(error).split())) from error
        if isinstance(spec, TransformersSpec):
            check_library()
        net, whitening = _filled(spec, folder / WEIGHTS, weights_hash)
        companions = Companions.load(folder, described)
        try:
            encoder = cls(
                net.eval(),
                preprocessing,
                name=name,
                provenance=described.get("provenance"),
                metrics=described.get("metrics"),
                scales=scales,
                whitening=whitening,
                classes=companions.classes,
                tags=companions.tags,
                codebooks=companions.codebooks,
                text=companions.text,
            )
        except PerisphereError as error:
            raise _damaged(folder / DESCRIPTION, str(error)) from error
        encoder.path = folder.absolute()
        return encoder._as_int8(described.get("int8"))

    def _as_int8(self, described: Any) -> "Encoder":
        """Return the encoder with the model of 8 bits that its description names, if any."""
        if described is None:
            return self
        assert self.path is not None
        try:
            bound = self.on(described["runtime"], int8=True)
            expected = described["digest"]
        except (KeyError, TypeError, UsageError) as error:
            raise _damaged(self.path / DESCRIPTION, " ".join(str(error).split())) from error
        if bound.int8 is None or bound.int8.digest != expected:
            raise _damaged(self.path / DESCRIPTION, "its int8 model is another one")
        return bound

    def _weights(self) -> dict[str, torch.Tensor]:
        named = self.net.tensors() if isinstance(self.net, TransformersNet) else self.net.state_dict()
        # save_file refuses tensors that share storage, and tied weights do
        weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in named.items()}
        if self.whitening is not None:
            weights[MEAN] = torch.tensor(self.whitening.mean)
            weights[PROJECTION] = torch.tensor(self.whitening.projection)
        return weights

    def _description(self, folder: Path) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "dim": self.dim,
            "identity": self.identity,
            "net": self.net.spec.model_dump(mode="json"),
            "preprocessing": self.preprocessing.model_dump(mode="json"),
            "scales": self.scales.model_dump(mode="json"),
            "provenance": self.provenance,
            "metrics": self.metrics,
            "weights_sha256": sha256(folder / WEIGHTS),
            "software": software(),
            **({} if self.int8 is None else {"int8": self.int8.named}),
            **Companions(self.classes, self.tags, self.codebooks, self.text).save(folder),
        }


def software() -> dict[str, str]:
    """Versions of what computes an embedding."""
    return {
        "perisphere": perisphere.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PerisphereError(
            f"{path}: not found; name a folder written by `perisphere train` or `perisphere weights import`."
        ) from error
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror}); check its permissions.") from error
    except ValueError as error:
        raise _damaged(path, f"is not JSON: {error}") from error
    if not isinstance(described, dict) or not isinstance(described.get("format"), int):
        raise _damaged(path, "has no format number")
    if described["format"] > FORMAT:
        raise PerisphereError(
            f"{path}: format {described['format']} is newer than this Perisphere reads ({FORMAT}); "
            "upgrade with `pip install -U perisphere`."
        )
    return described


def _spec(described: dict[str, Any]) -> Spec:
    kinds: dict[str, type[Spec]] = {
        "vlad": VladSpec,
        "segmentation": SegmentationSpec,
        "transformers": TransformersSpec,
    }
    return kinds.get(described.get("kind", ""), NetSpec).model_validate(described)


def _net(spec: Spec, tensors: dict[str, torch.Tensor]) -> Net:
    """Build the network and fill it."""
    if isinstance(spec, TransformersSpec):
        return TransformersNet(spec, tensors)
    net: Net
    if isinstance(spec, VladSpec):
        net = VladNet(spec)
    else:
        net = build_segmentation(spec) if isinstance(spec, SegmentationSpec) else build(spec)
    net.load_state_dict(tensors)
    return net


def _fitting(whitening: Whitening | None, dim: int) -> Whitening | None:
    """Return the whitening in float32, as it is saved."""
    if whitening is None:
        return None
    if len(whitening.mean) != dim:
        raise PerisphereError(
            f"a whitening of vectors of {len(whitening.mean)} numbers does not fit a network that gives "
            f"{dim}; fit it to the vectors of this encoder."
        )
    mean, projection = (np.asarray(part, np.float32) for part in (whitening.mean, whitening.projection))
    return Whitening(np.ascontiguousarray(mean), np.ascontiguousarray(projection))


def _check_scales(scales: Scales, net: Net, preprocessing: Preprocessing) -> None:
    if isinstance(net, VladNet) and not scales.single:
        raise UsageError(
            "several scales are for networks: SIFT finds its own. Leave --scales and --views out."
        )
    if scales.views == "ten":
        preprocessing.uncut()
    if scales.power != 1 and not net.nonnegative:
        raise UsageError(
            f"a power mean of {scales.power:g} needs embeddings without negative numbers, and this network's "
            "have them; use --power 1."
        )


def _filled(spec: Spec, path: Path, expected_hash: str) -> tuple[Net, Whitening | None]:
    """Return the network with its weights, and the whitening that lies beside them, if any."""
    try:
        if sha256(path) != expected_hash:
            raise _damaged(path, f"is not the file that {DESCRIPTION} was written with")
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise PerisphereError(f"{path}: not found; copy the encoder's folder whole.") from error
    except OSError as error:
        raise PerisphereError(f"{path}: cannot be read ({error.strerror}); check its permissions.") from error
    except SafetensorError as error:
        raise _damaged(path, f"is no safetensors file: {error}") from error
    try:
        pair = [tensors.pop(name).numpy() for name in (MEAN, PROJECTION) if name in tensors]
        return _net(spec, tensors), Whitening(*pair) if pair else None
    except (RuntimeError, TypeError, PerisphereError) as error:
        raise _damaged(path, f"does not fit {DESCRIPTION}: {' '.join(str(error).split())}") from error


def _damaged(path: Path, reason: str) -> PerisphereError:
    return PerisphereError(f"{path}: damaged ({reason}); copy or write the encoder's folder again.")


def _plain(value: Any) -> Any:
    """Bring NumPy's and torch's scalars, and paths, to what JSON knows."""
    return value.item() if hasattr(value, "item") else str(value)
