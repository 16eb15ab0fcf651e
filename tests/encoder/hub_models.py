"""Tiny networks with random weights, saved by the transformers library: folders in the hub's format."""

import json
from pathlib import Path
from typing import Any

import torch

SIDE = 32
WORDS = ("a", "photo", "of", "portal", "nave", "tower", "red", "blue", "the", "windows")

_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_BODY = {**_SMALL, "intermediate_size": 48}
_EYE = {"image_size": SIDE, "patch_size": 8}

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CROPPED = {
    "image_processor_type": "BitImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 40},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
SQUASHED = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": SIDE, "width": SIDE},
    "resample": 2,
    "do_normalize": True,
    **HALF,
}
CONVNEXT = {
    "image_processor_type": "ConvNextImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": SIDE},
    "crop_pct": 0.875,
    "resample": 3,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def build(kind: str, vocabulary: int = len(WORDS) + 3) -> Any:
    """Return a tiny network of the library; every weight is random, those that begin at 0 or 1 too."""
    import transformers as hub

    made = {
        "dinov2": lambda: hub.Dinov2Model(hub.Dinov2Config(**_SMALL, **_EYE)),
        "dinov2_with_registers": lambda: hub.Dinov2WithRegistersModel(
            hub.Dinov2WithRegistersConfig(**_SMALL, **_EYE, num_register_tokens=3)
        ),
        "vit": lambda: hub.ViTModel(hub.ViTConfig(**_BODY, **_EYE)),
        "vit-classifier": lambda: hub.ViTForImageClassification(hub.ViTConfig(**_BODY, **_EYE)),
        "clip": lambda: hub.CLIPModel(
            hub.CLIPConfig(
                vision_config={**_BODY, **_EYE},
                text_config={
                    **_BODY,
                    "vocab_size": vocabulary,
                    "max_position_embeddings": 12,
                    "bos_token_id": 0,
                    "eos_token_id": 1,
                },
                projection_dim=24,
            )
        ),
        "siglip": lambda: hub.SiglipModel(
            hub.SiglipConfig(
                vision_config={**_BODY, **_EYE},
                text_config={
                    **_BODY,
                    "vocab_size": vocabulary,
                    "max_position_embeddings": 10,
                    "bos_token_id": 0,
                    "eos_token_id": 1,
                },
            )
        ),
        "resnet": lambda: hub.ResNetModel(
            hub.ResNetConfig(embedding_size=8, hidden_sizes=[16, 24], depths=[1, 2], layer_type="basic")
        ),
        "convnext": lambda: hub.ConvNextModel(
            hub.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2)
        ),
        "convnextv2": lambda: hub.ConvNextV2Model(
            hub.ConvNextV2Config(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2)
        ),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = made[kind]()
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.rand_like(tensor) if "running_var" in name else torch.randn_like(tensor)
                tensor.add_(noise * 0.1)
    return model.eval()


PROCESSORS: dict[str, dict[str, Any]] = {
    "dinov2": CROPPED,
    "dinov2_with_registers": CROPPED,
    "vit": SQUASHED,
    "vit-classifier": SQUASHED,
    "clip": {**CROPPED, "image_processor_type": "CLIPImageProcessor"},
    "siglip": {**SQUASHED, "image_processor_type": "SiglipImageProcessor", "resample": 3},
    "resnet": CONVNEXT,
    "convnext": CONVNEXT,
    "convnextv2": CONVNEXT,
}


def tokenizer(kind: str) -> Any:
    """Return a word tokenizer that begins (CLIP) and ends texts as the family's own does."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = {"<s>": 0, "</s>": 1, "<unk>": 2} | {word: k + 3 for k, word in enumerate(WORDS)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    if kind == "clip":
        made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    template = "<s> $A </s>" if kind == "clip" else "$A </s>"
    made.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return made


def save(kind: str, folder: Path, *, shards: bool = False, vocabulary: int = len(WORDS) + 3) -> None:
    """Write a folder in the hub's format, its weights in parts of 10 KB where ``shards`` is asked for."""
    model = build(kind, vocabulary)
    model.save_pretrained(folder, max_shard_size="10KB" if shards else "5GB")
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSORS[kind]), encoding="utf-8")
    if kind in ("clip", "siglip"):
        tokenizer(kind).save(str(folder / "tokenizer.json"))
        name = "CLIPTokenizer" if kind == "clip" else "SiglipTokenizer"
        described = {"tokenizer_class": name, "pad_token": "</s>", "eos_token": "</s>"}
        (folder / "tokenizer_config.json").write_text(json.dumps(described), encoding="utf-8")
