import json
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from perisphere.losses import TagPairs, adaptive_margin, quantization, tag_alignment, tag_margins
from perisphere.losses.adaptive_margin import hinges

CASES = pytest.mark.parametrize("name", ["a", "b"])


@pytest.fixture(scope="session")
def golden(shared) -> dict:
    return json.loads((shared / "golden" / "quantization.json").read_text())["cases"]


class Case:
    """One worked example, in double precision."""

    def __init__(self, case: dict) -> None:
        self.vectors = torch.tensor(case["features"], dtype=torch.float64)
        self.tag_vectors = torch.tensor(case["tag_vectors"], dtype=torch.float64)
        self.present = torch.tensor(case["tags"]).bool()
        self.pairs = TagPairs(*self.present.nonzero(as_tuple=True))


def drawn(seed: int, photos=7, tags=9, dim=5, share=0.3):
    """Vectors, tag vectors and present tags, at least one a photo and at least one absent."""
    draw = torch.Generator().manual_seed(seed)
    present = torch.rand(photos, tags, generator=draw) < share
    present[:, 0], present[:, 1] = True, False
    vectors, tag_vectors = (torch.randn(n, dim, generator=draw).double() for n in (photos, tags))
    return vectors, tag_vectors, present


def written_out(vectors, tag_vectors, present, margins):
    """The published formula: a table of photos x tags x tags."""
    cosines = functional.normalize(vectors) @ functional.normalize(tag_vectors).T
    table = (margins - (cosines[:, :, None] - cosines[:, None, :])).clamp(min=0)
    counted = present[:, :, None] & ~present[:, None, :]
    return (table * counted).sum() / counted.sum()


@CASES
def test_worked_margins(golden, name):
    case = Case(golden[name])
    for gamma, atol in ((1.0, 1e-12), (0.5, 1e-6)):
        expected = torch.tensor(golden[name][f"margin_gamma_{gamma:g}"], dtype=torch.float64)
        torch.testing.assert_close(tag_margins(case.tag_vectors, gamma), expected, rtol=1e-9, atol=atol)


@CASES
def test_worked_losses(golden, name):
    case = Case(golden[name])
    parts = case.vectors, case.tag_vectors, case.pairs
    for gamma in (1, 2):
        loss = adaptive_margin(*parts, tag_margins(case.tag_vectors, gamma))
        assert loss.item() == pytest.approx(golden[name]["loss_all_negatives"][str(gamma)], rel=1e-9)
    assert adaptive_margin(*parts, 0.7).item() == pytest.approx(golden[name]["loss_fixed_margin_0.7"])
    assert tag_alignment(*parts, 0.7).item() == pytest.approx(golden[name]["loss_wdht_margin_0.7"])


@CASES
@pytest.mark.parametrize("gamma", [1, 2])
def test_worked_hard_negatives_which_may_be_present_tags(golden, name, gamma):
    """The published choice takes present tags for negatives of cosine 0; ours leaves them out."""
    case = Case(golden[name])
    margins = tag_margins(case.tag_vectors, gamma)
    cosines = functional.normalize(case.vectors) @ functional.normalize(case.tag_vectors).T
    most = int(case.present.sum(1).max())
    count = min(case.present.shape[1] - most, most)

    def loss(filling):
        filled = cosines.masked_fill(case.present, filling)
        nearest, rows = (part[:, :count] for part in filled.sort(descending=True, stable=True))
        chosen = margins[case.pairs.tags[:, None], rows[case.pairs.photos]]
        own = cosines[case.present]
        total = hinges(own, nearest, case.pairs.photos, lambda block: chosen[block])
        return total.item() / (len(own) * count)

    assert loss(0.0) == pytest.approx(golden[name]["loss_hard_negatives"][str(gamma)], rel=1e-9)
    ours = adaptive_margin(case.vectors, case.tag_vectors, case.pairs, margins, negatives="hard")
    assert ours.item() == pytest.approx(loss(-torch.inf), rel=1e-12)
    assert ours.item() != pytest.approx(golden[name]["loss_hard_negatives"][str(gamma)], rel=1e-3)


@CASES
def test_worked_quantization_losses(golden, name):
    case = Case(golden[name])
    codes = torch.tensor(golden[name]["codes"])
    for words, expected in (
        ("codebooks", "quantization_loss"),
        ("codebooks_updated", "quantization_loss_updated"),
    ):
        books = torch.tensor(golden[name][words], dtype=torch.float64).view(
            golden[name]["books"], golden[name]["words"], -1
        )
        decoded = sum(book[codes[:, number]] for number, book in enumerate(books))
        by_tags = quantization(case.vectors, decoded, case.tag_vectors.T).item()
        assert by_tags == pytest.approx(golden[name][expected], rel=1e-9)
        values, axes = torch.linalg.eigh(case.tag_vectors.T @ case.tag_vectors)
        root = axes * values.clamp(min=0).sqrt()
        assert quantization(case.vectors, decoded, root).item() == pytest.approx(by_tags, rel=1e-9)


@given(seed=st.integers(0, 2**16), share=st.floats(0.1, 0.8), gamma=st.sampled_from([0.5, 1.0, 2.0]))
def test_blocks_of_pairs_give_the_whole_table(seed, share, gamma):
    vectors, tag_vectors, present = drawn(seed, share=share)
    margins = tag_margins(tag_vectors, gamma)
    pairs = TagPairs(*present.nonzero(as_tuple=True))
    one = adaptive_margin(vectors, tag_vectors, pairs, margins)
    assert one.item() == pytest.approx(written_out(vectors, tag_vectors, present, margins).item(), rel=1e-9)


@pytest.mark.parametrize("block", [1, 20, 2**17])
@pytest.mark.parametrize("negatives", ["all", "hard"])
@pytest.mark.parametrize("fixed", [True, False])
def test_gradients_whatever_the_block(monkeypatch, block, negatives, fixed):
    monkeypatch.setattr(sys.modules[adaptive_margin.__module__], "BLOCK", block)
    vectors, tag_vectors, present = drawn(1)
    pairs = TagPairs(*present.nonzero(as_tuple=True))
    margins = 0.7 if fixed else tag_margins(tag_vectors)

    def loss(vectors):
        return adaptive_margin(vectors, tag_vectors, pairs, margins, negatives=negatives)

    assert torch.autograd.gradcheck(loss, vectors.requires_grad_())


def test_gradients_of_the_whole_table():
    vectors, tag_vectors, present = drawn(2)
    margins, found = tag_margins(tag_vectors), []
    for loss in (
        lambda z: adaptive_margin(z, tag_vectors, TagPairs(*present.nonzero(as_tuple=True)), margins),
        lambda z: written_out(z, tag_vectors, present, margins),
    ):
        leaf = vectors.clone().requires_grad_()
        loss(leaf).backward()
        found.append(leaf.grad)
    torch.testing.assert_close(*found)


@given(seed=st.integers(0, 2**16), scale=st.floats(0.1, 10))
def test_a_rotation_or_a_longer_vector_changes_no_loss(seed, scale):
    vectors, tag_vectors, present = drawn(seed)
    pairs = TagPairs(*present.nonzero(as_tuple=True))
    turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(seed)).double()).Q
    for loss in (
        lambda z, w: adaptive_margin(z, w, pairs, tag_margins(w)),
        lambda z, w: adaptive_margin(z, w, pairs, tag_margins(w), negatives="hard"),
        lambda z, w: tag_alignment(z, w, pairs),
    ):
        turned = loss(scale * vectors @ turn, tag_vectors @ turn)
        assert loss(vectors, tag_vectors).item() == pytest.approx(turned.item(), rel=1e-9)


def test_photos_without_tags_or_without_others_count_nothing():
    vectors, tag_vectors, present = drawn(3)
    present[2], present[4] = False, True
    margins = tag_margins(tag_vectors)
    rest = [row for row in range(len(vectors)) if row not in (2, 4)]
    whole = adaptive_margin(vectors, tag_vectors, TagPairs(*present.nonzero(as_tuple=True)), margins)
    part = adaptive_margin(
        vectors[rest], tag_vectors, TagPairs(*present[rest].nonzero(as_tuple=True)), margins
    )
    assert whole.item() == pytest.approx(part.item())
    nothing = TagPairs(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    for negatives in ("all", "hard"):
        assert adaptive_margin(vectors, tag_vectors, nothing, margins, negatives=negatives) == 0


def test_a_photo_on_its_tag_has_no_loss_and_no_gradient():
    tag_vectors = torch.eye(4)
    vectors = torch.eye(4)[:2].requires_grad_()
    pairs = TagPairs(torch.tensor([0, 1]), torch.tensor([0, 1]))
    loss = adaptive_margin(vectors, tag_vectors, pairs, 0.7)
    loss.backward()
    assert loss == 0
    assert not vectors.grad.any()


def test_half_precision_is_computed_in_full():
    vectors, tag_vectors, present = drawn(4)
    pairs = TagPairs(*present.nonzero(as_tuple=True))
    vectors, tag_vectors = vectors.bfloat16(), tag_vectors.float()
    full = adaptive_margin(vectors.float(), tag_vectors, pairs, tag_margins(tag_vectors))
    with torch.autocast("cpu", torch.bfloat16):
        assert adaptive_margin(vectors, tag_vectors, pairs, tag_margins(tag_vectors)) == full


def test_pairs_of_rows_of_a_sparse_table():
    indptr, indices = torch.tensor([0, 2, 2, 5]), torch.tensor([4, 1, 0, 3, 2])
    pairs = TagPairs.of_rows(indptr, indices, torch.tensor([2, 1, 0, 2]))
    assert pairs.photos.tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    assert pairs.tags.tolist() == [0, 3, 2, 4, 1, 0, 3, 2]


def test_no_vectors_have_no_quantization_loss():
    assert quantization(torch.zeros(0, 3), torch.zeros(0, 3), torch.eye(3)) == 0
