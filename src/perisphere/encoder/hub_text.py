"""How a folder in the hub's format turns texts into tokens, as its network was trained."""

from typing import Any, Literal

from perisphere.encoder.text_tower import TextSpec
from perisphere.errors import PerisphereError
from perisphere.nets.families import Value
from perisphere.nets.hub_folder import MOST_TOKENIZER, TOKENIZER, TOKENIZER_CONFIG, HubFolder

Side = Literal["left", "right"]
Clean = Literal["none", "lowercase", "canonical"]

_MEND = "Get the folder whole, or leave texts out with --no-text"
_MANY = 250_000
"""Tokens of a SigLIP of many languages; of others they are 32,000, and of a SigLIP 2 256,000."""


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
    length, vocabulary = config["max_position_embeddings"], config["vocab_size"]
    assert isinstance(length, int)
    assert isinstance(vocabulary, int)
    spec = TextSpec(
        family="clip" if family == "clip" else "siglip",
        config=config,
        length=length,
        padded=family == "siglip",
        pad=_pad(folder, given),
        pad_side=_side(folder, given),
        clean=cleaning(family, given, vocabulary),
    )
    return spec, tokenizer


def cleaning(family: str, given: dict[str, Any], vocabulary: int) -> Clean:
    """Return what happens to a text first: SigLIP was trained without punctuation, SigLIP 2 with it.

    They are told apart by the tokenizer that is named, or by the vocabulary.
    """
    if family != "siglip":
        return "none"
    own = str(given.get("tokenizer_class")).startswith("SiglipTokenizer")
    return "canonical" if own or vocabulary <= _MANY else "lowercase"


def _pad(folder: HubFolder, given: dict[str, Any]) -> str:
    """Return the token that fills up; files write it as a text, or as an object with its ``content``."""
    pad = given.get("pad_token")
    pad = pad.get("content") if isinstance(pad, dict) else pad
    if not isinstance(pad, str) or not 1 <= len(pad) <= 64:
        raise PerisphereError(f"{folder.path / TOKENIZER_CONFIG}: names no pad_token. {_MEND}.")
    return pad


def _side(folder: HubFolder, given: dict[str, Any]) -> Side:
    side = given.get("padding_side", "right")
    if side not in ("left", "right"):
        raise PerisphereError(
            f"{folder.path / TOKENIZER_CONFIG}: padding_side is neither left nor right. {_MEND}."
        )
    return "left" if side == "left" else "right"
