"""Export of an encoder's network to a runtime, kept only where it gives torch's vectors."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch

from perisphere.encoder.loading import Source
from perisphere.encoder.runtimes.agreement import compared, generated_photos, unit_rows
from perisphere.encoder.runtimes.choice import module_of, ready
from perisphere.encoder.runtimes.compiled import Compiled
from perisphere.encoder.runtimes.exported import FILES, Agreement, Exported, Manifest, Quantisation
from perisphere.encoder.runtimes.names import MANIFEST, Engine, model_name
from perisphere.encoder.runtimes.places import writable
from perisphere.encoder.runtimes.program import exported_program, one_size
from perisphere.errors import PerisphereError
from perisphere.storage import sha256, whole_folder

if TYPE_CHECKING:
    from perisphere.encoder.encoder import Encoder

TOLERANCE = 1e-3
"""What a number of a unit row, and the cosine of two rows, may be off from torch's."""

Judged: TypeAlias = tuple[Agreement, Quantisation | None]

log = logging.getLogger(__name__)


def export(
    encoder: "Encoder", runtime: Engine, *, photos: Sequence[Source] | None = None, named: str = ""
) -> Exported:
    """Export to a runtime in float32, into the encoder's folder, or the user's cache where that is read-only.

    Args:
        encoder: any but SIFT + VLAD, and none that is int8.
        runtime: to export to; an earlier model of it is replaced.
        photos: by which both are compared; ``None`` draws some.
        named: where the photos came from.

    Raises:
        PerisphereError: torch cannot export the network, or the rows are not torch's; nothing is kept then.
    """
    module, program = module_of(runtime), exported_program(encoder)
    log.info("exporting the network to %s", runtime)
    if photos is None:
        photos, named = generated_photos(encoder), "generated"

    def judge(run: Compiled) -> Judged:
        known, read = unit_rows(encoder, photos)
        found = compared(known, unit_rows(encoder, [photos[row] for row in read], compiled=run)[0], named)
        if not (found.cosine >= 1 - TOLERANCE and found.difference <= TOLERANCE):
            raise PerisphereError(
                f"{encoder.name}: {runtime} gives other vectors than torch (least cosine {found.cosine:.6f}, "
                f"greatest difference {found.difference:.2g}), so its model was not kept. "
                "Use --runtime torch."
            )
        return found, None

    return kept(encoder, runtime, lambda folder: module.write(program, folder), judge)


def kept(
    encoder: "Encoder",
    runtime: Engine,
    write: Callable[[Path], None],
    judge: Callable[[Compiled], Judged],
    *,
    int8: bool = False,
) -> Exported:
    """Write a model, and keep it unless ``judge`` of the very files raises; the folder appears whole."""
    identity = encoder.float_identity
    folder = writable(encoder.path, identity, model_name(runtime, int8))
    with whole_folder(folder, overwrite=True) as part:
        _written(encoder, runtime, write, part)
        files = {name: sha256(part / name) for name in FILES[runtime]}
        dtype = torch.int8 if int8 else torch.float32
        agreement, quantisation = judge(Compiled(runtime, dtype, ready(runtime, part, files)))
        manifest = Manifest(
            runtime=runtime,
            encoder=identity,
            sides=one_size(encoder),
            files=files,
            agreement=agreement,
            int8=quantisation,
            software={"torch": str(torch.__version__), **module_of(runtime).software()},
        )
        (part / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return Exported(folder, manifest)


def _written(encoder: "Encoder", runtime: Engine, write: Callable[[Path], None], folder: Path) -> None:
    try:
        write(folder)
    except (PerisphereError, OSError):
        raise
    except Exception as error:  # what the converters raise shares no base class
        reason = " ".join(str(error).split())[:200]
        raise PerisphereError(
            f"the network of the encoder {encoder.name!r} cannot be written for {runtime} "
            f"({type(error).__name__}: {reason}). Leave --runtime out; torch runs it."
        ) from error
