"""What reads texts into the space of photos: a tokenizer and the text network of CLIP or SigLIP."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from perisphere.errors import PerisphereError, UsageError
from perisphere.nets.families import FAMILIES, Value, checked
from perisphere.nets.pretrained import pretrained, published_tensors

AT_ONCE = 64
"""Texts that pass through the network together."""

LONGEST = 10_000
"""Characters of a text that are looked at; more than any network's tokens can hold."""

DESCRIPTION, WEIGHTS, TOKENIZER = "text.json", "weights.safetensors", "tokenizer.json"

_PUNCTUATION = re.compile(r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]""")


class TextSpec(BaseModel):
    """How texts become tokens, and the network that reads them.

    Attributes:
        family: ``clip`` or ``siglip``.
        config: the settings that shape the network.
        length: tokens at most; what is longer is cut off.
        padded: whether every text is filled up to ``length``, as SigLIP was trained; CLIP's are filled up to
            the longest of a batch, which changes nothing, since its tokens see only those before them.
        pad: the token that fills up.
        pad_side: at which end.
        clean: what happens to a text first: ``lowercase`` (SigLIP 2), or ``canonical``: lowercase, no
            punctuation, single spaces (SigLIP).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Literal["clip", "siglip"]
    config: dict[str, Value]
    length: int = Field(ge=1, le=4096)
    padded: bool
    pad: str = Field(max_length=64)
    pad_side: Literal["left", "right"] = "right"
    clean: Literal["none", "lowercase", "canonical"] = "none"


class TextTower:
    """Texts to unit vectors in the space of the photos of the same network.

    Args:
        spec: how.
        tensors: the network's weights, by published name.
        tokenizer: the text of a ``tokenizer.json``.

    Attributes:
        spec: how.
        dim: numbers of a vector.

    Raises:
        PerisphereError: a part is damaged or does not fit.
    """

    def __init__(self, spec: TextSpec, tensors: dict[str, torch.Tensor], tokenizer: str) -> None:
        self.spec = spec
        part = FAMILIES[spec.family].text
        assert part is not None  # of the families that TextSpec allows
        self.net = pretrained(part, checked(part, spec.config), tensors).requires_grad_(False)
        config = self.net.config
        self.dim = int(config.projection_dim if spec.family == "clip" else config.projection_size)
        self._json = tokenizer
        self._vocabulary = int(config.vocab_size)
        self._tokenizer = _tokenizer(spec, tokenizer, self._vocabulary)
        if spec.length > config.max_position_embeddings:
            raise PerisphereError(
                f"texts of {spec.length} tokens do not fit a network of {config.max_position_embeddings}."
            )

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, float32 ``[n, dim]``.

        Raises:
            UsageError: a text is empty.
        """
        rows = [self._rows(texts[start : start + AT_ONCE]) for start in range(0, len(texts), AT_ONCE)]
        return np.concatenate(rows) if rows else np.empty((0, self.dim), np.float32)

    @torch.inference_mode()
    def _rows(self, texts: Sequence[str]) -> NDArray[np.float32]:
        tokens = _encoded(self._tokenizer, [self._cleaned(text) for text in texts], self._vocabulary)
        options = {"input_ids": torch.tensor([found.ids for found in tokens])}
        if not self.spec.padded:
            options["attention_mask"] = torch.tensor([found.attention_mask for found in tokens])
        found = self.net(**options)
        rows = (found.text_embeds if self.spec.family == "clip" else found.pooler_output).float()
        rows = torch.nn.functional.normalize(rows, dim=1).numpy()
        if not np.isfinite(rows).all():
            raise PerisphereError("the text network gives NaN or infinity: its weights are damaged.")
        return rows

    def _cleaned(self, text: str) -> str:
        cleaned = text[:LONGEST]
        if self.spec.clean != "none":
            cleaned = cleaned.lower()
        if self.spec.clean == "canonical":
            cleaned = " ".join(_PUNCTUATION.sub("", cleaned).split())
        if not cleaned.strip():
            raise UsageError(f"the text {text[:40]!r} has no words, and so no direction. Give one or more.")
        return cleaned

    def save(self, folder: Path) -> None:
        """Write description, weights and tokenizer into a new folder."""
        folder.mkdir()
        described = json.dumps(self.spec.model_dump(mode="json"), indent=2, ensure_ascii=False)
        (folder / DESCRIPTION).write_text(described + "\n", encoding="utf-8")
        (folder / TOKENIZER).write_text(self._json, encoding="utf-8")
        weights = {name: tensor.contiguous().clone() for name, tensor in published_tensors(self.net).items()}
        save_file(weights, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> "TextTower":
        """Read a folder that :meth:`save` wrote and whose hash was checked.

        Raises:
            PerisphereError: a file is missing or damaged.
        """
        try:
            spec = TextSpec.model_validate_json((folder / DESCRIPTION).read_text(encoding="utf-8"))
            tensors = load_file(folder / WEIGHTS)
            tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8")
            return cls(spec, tensors, tokenizer)
        except (OSError, ValueError, SafetensorError, PerisphereError) as error:
            raise PerisphereError(f"{folder}: damaged ({' '.join(str(error).split())}).") from error


def _tokenizer(spec: TextSpec, text: str, vocabulary: int) -> Any:
    """Return the tokenizer, which cuts and fills up as the network was trained.

    Raises:
        PerisphereError: it cannot be read, or has tokens that the network does not know.
    """
    # Its threads would not outlive a fork, and a batch of texts needs none.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise PerisphereError(
            "texts need the transformers library: pip install 'perisphere[transformers]'."
        ) from error
    try:
        made = Tokenizer.from_str(text)
    except Exception as error:  # the library raises plain Exception
        raise PerisphereError(f"the tokenizer cannot be read ({str(error)[:200]}). Get it again.") from None
    pad = made.token_to_id(spec.pad)
    largest = max(made.get_vocab().values(), default=vocabulary)
    if pad is None or largest >= vocabulary:
        raise PerisphereError(
            f"the tokenizer does not fit the network: its tokens go up to {largest}, the network knows "
            f"{vocabulary}, and texts are filled up with {spec.pad!r}."
        )
    made.enable_truncation(spec.length)
    length = spec.length if spec.padded else None
    made.enable_padding(direction=spec.pad_side, pad_id=pad, pad_token=spec.pad, length=length)
    _encoded(made, ["a photo"], vocabulary)
    return made


def _encoded(tokenizer: Any, texts: list[str], vocabulary: int) -> list[Any]:
    """Return the tokens of each text.

    Raises:
        PerisphereError: the tokenizer breaks down, or gives tokens that the network does not know.
    """
    try:
        found = tokenizer.encode_batch(texts)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a tokenizer that panics raises what is no Exception
        raise PerisphereError(f"the tokenizer breaks down ({str(error)[:200]}). Get it again.") from None
    if max(max(text.ids, default=0) for text in found) >= vocabulary:
        raise PerisphereError(f"the tokenizer gives tokens beyond the network's {vocabulary}. Get it again.")
    return list(found)
