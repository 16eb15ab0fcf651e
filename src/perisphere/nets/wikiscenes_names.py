"""The names of published segmentation weights: Wu et al. 2021 ("Towers of Babel"), Araslanov and Roth 2020.

Both programs save a plain state dict, whose backbone has the names of the common ResNets.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from perisphere.nets.segmentation import Head

MARKS: dict[str, Head] = {
    "last_conv.0.weight": "single-stage",
    "fc8.weight": "cam",
    "model_ft.fc.weight": "classifier",
    "model_ft.classifier.1.weight": "classifier",
}
"""The tensor that only a file of this head has."""

_OURS = (
    (re.compile(r"aspp\.aspp([1-4])\.atrous_conv\."), lambda m: f"aspp.branches.{int(m[1]) - 1}.0."),
    (re.compile(r"aspp\.aspp([1-4])\.bn\."), lambda m: f"aspp.branches.{int(m[1]) - 1}.1."),
    (re.compile(r"aspp\.global_avg_pool\.([12])\."), lambda m: f"aspp.whole.{int(m[1]) - 1}."),
    (re.compile(r"aspp\.conv1\."), lambda m: "aspp.project.0."),
    (re.compile(r"aspp\.bn1\."), lambda m: "aspp.project.1."),
    (re.compile(r"shallow_mask\.fc_deep\."), lambda m: "cues.deep."),
    (re.compile(r"shallow_mask\.fc_skip\."), lambda m: "cues.shallow."),
    (re.compile(r"shallow_mask\.fc_cls\."), lambda m: "cues.last."),
    (re.compile(r"fc8_skip\."), lambda m: "skip."),
    (re.compile(r"fc8_x\."), lambda m: "merge."),
    (re.compile(r"last_conv\.0\.|fc8\.|model_ft\.(?:fc|classifier\.1)\."), lambda m: "scores."),
    (re.compile(r"model_ft\."), lambda m: "backbone."),
    (re.compile(r"(?=(?:conv1|bn1|layer[1-4])\.)"), lambda m: "backbone."),
)
# Constants of the mask refinement, and the layer fc8 again under the names of the branches that it is in.
_LEFT_OUT = ("_aff.", "cls_branch.", "mask_branch.")


def published_head(tensors: Mapping[str, Tensor]) -> Head | None:
    """Return the head that a published file is of, or ``None`` where it is of another program."""
    names = {_bare(name) for name in tensors}
    return next((head for mark, head in MARKS.items() if mark in names), None)


def known_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a published file the names and shapes that they have here.

    The constant kernels of its mask refinement are left out. A file of another program comes back as it is.
    """
    if published_head(tensors) is None:
        return dict(tensors)
    bare = {_bare(name): tensor for name, tensor in tensors.items()}
    ours = {_our(name): tensor for name, tensor in bare.items() if not name.startswith(_LEFT_OUT)}
    weight = ours["scores.weight"]
    if weight.dim() == 2:  # a layer on the pooled vector, which is one on each position before pooling
        ours["scores.weight"] = weight[:, :, None, None]
    return ours


def _bare(name: str) -> str:
    return name.removeprefix("module.")


def _our(name: str) -> str:
    for theirs, ours in _OURS:
        if match := theirs.match(name):
            return ours(match) + name[match.end() :]
    return name
