"""How a folder in the hub's format turns texts into tokens, as its network was trained."""

from typing import Any, Literal

from perisphere.encoder.text_tower import TextSpec
from perisphere.errors import PerisphereError
from perisphere.nets.families import Value
from perisphere.nets.hub_folder import MOST_TOKENIZER, TOKENIZER, TOKENIZER_CONFIG, HubFolder

Side = Literal["left", "right"]

_MEND = "Get the folder whole, or leave texts out with --no-text"
_SIGLIP2 = ("GemmaTokenizer", "Siglip2Tokenizer")
"""Tokenizers of SigLIP 2, which was trained on lowercase texts; SigLIP's removes punctuation too."""


def text_parts(folder: HubFolder, family: str, config: dict[str, Value]) -> tuple[TextSpec, str]:
    """Return how texts are read, and the text of ``tokenizer.json``.

    CLIP's texts end in a token whose vector sees all before it and nothing after it, so filling up changes
    nothing. SigLIP was trained with texts filled up to 64 tokens that all see each other: so they are here.

    Args:
        folder: with ``tokenizer.json`` and ``tokenizer_config.json``.
        family: ``clip`` or ``siglip``.
        config: the settings of the network that reads.

    Raises:
        PerisphereError: a file is missing or damaged.
    """
    tokenizer = folder.text(TOKENIZER, most=MOST_TOKENIZER)
    given = folder.json(TOKENIZER_CONFIG)
    for name, found in ((TOKENIZER, tokenizer), (TOKENIZER_CONFIG, given)):
        if found is None:
            raise PerisphereError(f"{folder.path}: no {name} in it, by which texts are read. {_MEND}.")
    assert tokenizer is not None
    assert given is not None
    kind = str(given.get("tokenizer_class", "")).removesuffix("Fast")
    siglip2 = family == "siglip" and kind in _SIGLIP2
    clean: Literal["none", "lowercase", "canonical"] = "none"
    if family == "siglip":
        clean = "lowercase" if siglip2 else "canonical"
    length = config["max_position_embeddings"]
    assert isinstance(length, int)
    spec = TextSpec(
        family="clip" if family == "clip" else "siglip",
        config=config,
        length=length,
        padded=family == "siglip",
        pad=_pad(folder, given),
        pad_side=_side(folder, given, "left" if siglip2 else "right"),
        clean=clean,
    )
    return spec, tokenizer


def _pad(folder: HubFolder, given: dict[str, Any]) -> str:
    """Return the token that fills up; files write it as a text, or as an object with its ``content``."""
    pad = given.get("pad_token")
    pad = pad.get("content") if isinstance(pad, dict) else pad
    if not isinstance(pad, str) or not 1 <= len(pad) <= 64:
        raise PerisphereError(f"{folder.path / TOKENIZER_CONFIG}: names no pad_token. {_MEND}.")
    return pad


def _side(
    folder: HubFolder, given: dict[str, Any], fall: Literal["left", "right"]
) -> Literal["left", "right"]:
    side = given.get("padding_side", fall)
    if side not in ("left", "right"):
        raise PerisphereError(
            f"{folder.path / TOKENIZER_CONFIG}: padding_side is neither left nor right. {_MEND}."
        )
    return "left" if side == "left" else "right"
