import json

import numpy as np
import pytest
import torch

from perisphere.codes.metric import metric_root
from perisphere.errors import PerisphereError
from perisphere.methods import QuantizationTerms
from perisphere.methods.learned_codes import CodePlan, LearnedCodes, fitted, lost

PLAN = CodePlan(books=2, words=8, unit=False)


def codes_of(photos=60, dim=6, seed=0) -> tuple[LearnedCodes, torch.Tensor]:
    draw = np.random.default_rng(seed)
    metric = metric_root(draw.standard_normal((9, dim)))
    features = torch.from_numpy(draw.standard_normal((photos, dim)).astype(np.float32))
    return LearnedCodes(photos, PLAN, metric), features


def test_a_code_stands_for_the_features_it_was_chosen_for():
    codes, features = codes_of()
    rows = torch.arange(60)
    codes.keep(rows, features)
    errors = [codes.update(turn) for turn in range(4)]
    assert errors[-1] < errors[0] < 0.5
    left = ((features - codes.decoded(rows)) @ codes.root).square().sum()
    assert float(left / (features @ codes.root).square().sum()) == pytest.approx(errors[-1], rel=1e-4)


def test_photos_that_were_never_seen_have_no_code():
    codes, features = codes_of()
    codes.keep(torch.arange(7), features[:7])
    assert codes.update(0) is None, "fewer photos than words"
    assert codes.words is None
    codes.keep(torch.arange(20, 40), features[20:40])
    assert codes.update(0) is not None
    assert codes.coded.nonzero().squeeze(1).tolist() == [*range(7), *range(20, 40)]


def test_the_last_features_of_a_photo_count():
    codes, features = codes_of()
    codes.keep(torch.arange(60), features)
    codes.keep(torch.tensor([3, 5]), features[:2])
    assert torch.equal(codes.features[[3, 5]], features[:2])


def test_a_resumed_state_updates_to_the_same(tmp_path):
    one, features = codes_of()
    one.keep(torch.arange(60), features)
    one.update(0)
    torch.save(one.state(), tmp_path / "state")
    other, _ = codes_of()
    other.take(torch.load(tmp_path / "state", weights_only=True))
    assert one.update(1) == other.update(1)
    for name, value in one.state().items():
        assert torch.equal(value, other.state()[name]), name


def test_a_diverged_network_is_named():
    codes, features = codes_of()
    codes.keep(torch.arange(60), features.fill_(torch.nan))
    with pytest.raises(PerisphereError, match=r"learned too fast.*optimizer\.lr"):
        codes.update(0)


def test_more_rounds_never_lose_more():
    codes, features = codes_of()
    vectors = features.numpy()
    shares = []
    for rounds in (1, 3, 9):
        codebooks, chosen = fitted(
            vectors, CodePlan(2, 8, 3, 4, 4, unit=False), codes.metric, 0, rounds=rounds
        )
        shares.append(lost(codebooks, vectors, chosen))
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("name", ["a", "b"])
def test_worked_losses_of_learned_codes(shared, name):
    case = json.loads((shared / "golden" / "quantization.json").read_text())["cases"][name]
    vectors = np.array(case["features"], np.float32)
    words = np.array(case["codebooks"], np.float32).reshape(case["books"], case["words"], -1)
    codes = LearnedCodes(
        len(vectors), CodePlan(case["books"], case["words"], unit=False), metric_root(case["tag_vectors"])
    )
    codes.codes = torch.tensor(case["codes"], dtype=torch.uint8)
    codes.words = torch.from_numpy(words)
    left = torch.from_numpy(vectors) - codes.decoded(torch.arange(len(vectors)))
    loss = (left @ codes.root).square().sum(1).mean()
    assert float(loss) == pytest.approx(case["quantization_loss"], rel=1e-4)
    codes.words = torch.tensor(case["codebooks_updated"]).view(words.shape)
    left = torch.from_numpy(vectors) - codes.decoded(torch.arange(len(vectors)))
    loss = (left @ codes.root).square().sum(1).mean()
    assert float(loss) == pytest.approx(case["quantization_loss_updated"], rel=1e-4)


def test_when_updates_are_due():
    terms = QuantizationTerms(start=3, every=2)
    assert [epoch for epoch in range(1, 9) if terms.due(epoch)] == [3, 5, 7]
