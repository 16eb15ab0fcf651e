"""Texts become the library's own vectors, whatever other texts are beside them."""

import json
import shutil
from pathlib import Path

import hub_models
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.encoder import Encoder
from perisphere.encoder.from_hub import encoder_from_hub
from perisphere.encoder.hub_text import cleaning
from perisphere.errors import PerisphereError, UsageError

pytest.importorskip("transformers")

TEXTS = [
    "a photo of the portal",
    "tower",
    "red windows of a nave of the tower of a portal of the nave",
    "cat",
]


@pytest.fixture(scope="module", params=["clip", "siglip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param) / request.param
    hub_models.save(request.param, path)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return encoder_from_hub(folder)


def own_vectors(kind: str, texts: list[str]) -> np.ndarray:
    """Return what the library gives with its own tokenizer, one text after the other."""
    from transformers import PreTrainedTokenizerFast

    tokens = PreTrainedTokenizerFast(tokenizer_object=hub_models.tokenizer(kind), pad_token="</s>")
    model = hub_models.build(kind)
    rows = []
    for text in texts:
        if kind == "clip":
            found = tokens(text, truncation=True, max_length=12, return_tensors="pt")
        else:
            found = tokens(text, padding="max_length", truncation=True, max_length=10, return_tensors="pt")
        with torch.inference_mode():
            rows.append(model.get_text_features(input_ids=found["input_ids"]).pooler_output[0])
    return torch.nn.functional.normalize(torch.stack(rows), dim=1).numpy()


def test_vectors_are_the_librarys_own(folder: Path, encoder: Encoder) -> None:
    found = encoder.encode_texts(TEXTS)
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), encoder.dim)
    np.testing.assert_allclose(found, own_vectors(folder.name, TEXTS), atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-3


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(len(TEXTS))), st.integers(1, len(TEXTS)))
def test_a_text_alone_and_among_others(encoder: Encoder, order: list[int], count: int) -> None:
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    chosen = order[:count]
    np.testing.assert_allclose(encoder.encode_texts([TEXTS[k] for k in chosen]), alone[chosen], atol=1e-5)


def test_more_texts_than_pass_at_once(encoder: Encoder) -> None:
    many = encoder.encode_texts([*["tower"] * 70, "nave"])
    assert many.shape == (71, encoder.dim)
    np.testing.assert_allclose(many[:70], np.repeat(many[:1], 70, axis=0), atol=1e-6)
    assert np.abs(many[70] - many[0]).max() > 1e-3


def test_what_does_not_count_in_a_text(folder: Path, encoder: Encoder) -> None:
    plain, other = encoder.encode_texts(["a photo of the portal", "A  photo of the PORTAL"])
    np.testing.assert_allclose(plain, other, atol=1e-6)
    (marked,) = encoder.encode_texts(["a photo, of the portal!"])
    # SigLIP was trained on texts without punctuation; to CLIP it is a token.
    assert np.allclose(plain, marked, atol=1e-6) == (folder.name == "siglip")


@pytest.mark.parametrize(
    ("tokenizer", "vocabulary", "clean"),
    [
        ("SiglipTokenizer", 32_000, "canonical"),
        ("SiglipTokenizer", 250_000, "canonical"),  # of many languages
        ("GemmaTokenizer", 256_000, "lowercase"),
        ("SiglipTokenizer", 256_000, "canonical"),
        (None, 250_000, "canonical"),
        (None, 256_000, "lowercase"),
    ],
)
def test_siglip_and_siglip_2_are_told_apart(tokenizer: str | None, vocabulary: int, clean: str) -> None:
    assert cleaning("siglip", {"tokenizer_class": tokenizer}, vocabulary) == clean
    assert cleaning("clip", {"tokenizer_class": tokenizer}, vocabulary) == "none"


def test_lowercase_alone_for_siglip_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SigLIP 2 is told by its vocabulary, and filled up as its file says."""
    path = tmp_path / "siglip2"
    hub_models.save("siglip", path)
    monkeypatch.setattr("perisphere.encoder.hub_text._MANY", 10)
    described = {"tokenizer_class": "GemmaTokenizer", "pad_token": {"content": "<unk>"}}
    (path / "tokenizer_config.json").write_text(json.dumps(described), encoding="utf-8")
    tower = encoder_from_hub(path).text
    assert tower is not None
    assert (tower.spec.clean, tower.spec.pad, tower.spec.pad_side) == ("lowercase", "<unk>", "right")
    plain, upper, marked = tower(["a tower", "A TOWER", "a tower!"])
    np.testing.assert_allclose(plain, upper, atol=1e-6)
    assert np.abs(plain - marked).max() > 1e-3
    (path / "tokenizer_config.json").write_text(json.dumps(described | {"padding_side": "left"}), "utf-8")
    left = encoder_from_hub(path).text
    assert left is not None
    assert left.spec.pad_side == "left"
    assert np.abs(left(["a tower"]) - plain).max() > 1e-3


@pytest.mark.parametrize("text", ["", "  \n"])
def test_no_words_are_no_query(text: str, encoder: Encoder) -> None:
    with pytest.raises(UsageError, match="has no words"):
        encoder.encode_texts(["tower", text])


def test_no_texts(encoder: Encoder) -> None:
    assert encoder.encode_texts([]).shape == (0, encoder.dim)


def test_huge_text(encoder: Encoder) -> None:
    """What is beyond the network's length counts for nothing, and costs nothing."""
    start = "red windows of a nave of the tower of a portal "
    near, far = encoder.encode_texts([start * 3, start * 100_000])
    np.testing.assert_allclose(near, far, atol=1e-6)


def test_folder_stands_alone(folder: Path, encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder")
    again = Encoder.load(tmp_path / "encoder")
    assert again.identity == encoder.identity
    np.testing.assert_array_equal(again.encode_texts(TEXTS), encoder.encode_texts(TEXTS))


def test_texts_change_no_identity(folder: Path, encoder: Encoder) -> None:
    without = encoder_from_hub(folder, text=False)
    assert without.identity == encoder.identity
    with pytest.raises(PerisphereError, match="reads no texts"):
        without.encode_texts(["tower"])


@pytest.mark.parametrize("name", ["text.json", "tokenizer.json", "weights.safetensors"])
def test_a_changed_folder_is_refused(name: str, encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder")
    file = tmp_path / "encoder" / "text" / name
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(PerisphereError, match="text: damaged"):
        Encoder.load(tmp_path / "encoder")
    shutil.rmtree(tmp_path / "encoder" / "text")
    with pytest.raises(PerisphereError, match="text: not found"):
        Encoder.load(tmp_path / "encoder")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"model": {"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "a"}}',
        '{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"</s>": 900}, "unk_token": "</s>"}}',
        '{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 1}, "unk_token": "a"}}',
        '{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["x y"]}}',
        '{"version": "1.0", "normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}, '
        '"model": {"type": "WordLevel", "vocab": {"a": 1}, "unk_token": "a"}}',
    ],
)
def test_hostile_tokenizers(text: str, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "folder")
    (copy / "tokenizer.json").write_text(text, encoding="utf-8")
    with pytest.raises(PerisphereError, match="tokenizer") as caught:
        encoder_from_hub(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"ids": [900]}, {"id": "absent"}])
def test_tokenizers_that_break_down_in_use(change: dict, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "folder")
    described = json.loads((copy / "tokenizer.json").read_text(encoding="utf-8"))
    after = described["post_processor"]
    if "id" in change:
        after["single"][-1]["SpecialToken"] |= change
    else:
        after["special_tokens"]["</s>"] |= change
    (copy / "tokenizer.json").write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(PerisphereError, match="the tokenizer") as caught:
        encoder_from_hub(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pad", [None, 7, "", "x" * 100, "absent", {"content": 3}])
def test_hostile_padding(pad: object, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "folder")
    (copy / "tokenizer_config.json").write_text(json.dumps({"pad_token": pad}), encoding="utf-8")
    with pytest.raises(PerisphereError, match=r"pad_token|filled up with 'absent'"):
        encoder_from_hub(copy)
