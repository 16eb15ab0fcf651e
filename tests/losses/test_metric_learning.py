import sys

import pytest
import torch

from perisphere.errors import UsageError
from perisphere.losses import metric_learning
from perisphere.losses.metric_learning import check

pytest.importorskip("pytorch_metric_learning")

UNUSABLE = {"ManifoldLoss", "RankedListLoss", "VICRegLoss"}
"""The first and the last take no labels; the second has options without a default."""


def names(module: str, base: str) -> list[str]:
    from perisphere.losses.metric_learning import _classes

    return list(_classes(module, base))


def vectors(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(12, 6, generator=draw, requires_grad=True), torch.arange(3).repeat_interleave(4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(set(names("losses", "BaseMetricLossFunction")) - UNUSABLE))
def test_every_loss_learns_with_its_defaults(name):
    torch.manual_seed(0)
    loss = metric_learning(name, {}, None, {}, dim=6, classes=3)
    points, labels = vectors()
    value = loss(points, labels)
    value.backward()
    assert value.ndim == 0
    assert value.isfinite()
    assert points.grad.isfinite().all()
    check(name, {}, None, {})


@pytest.mark.parametrize(
    "name", sorted(set(names("miners", "BaseMiner")) - {"EmbeddingsAlreadyPackagedAsTriplets"})
)
def test_every_miner_chooses_for_a_loss(name):
    points, labels = vectors()
    torch.manual_seed(0)
    assert metric_learning("TripletMarginLoss", {}, name, {}, dim=6, classes=3)(points, labels).isfinite()


def test_options_and_a_miner_reach_the_package():
    from pytorch_metric_learning import distances, losses, miners, reducers

    points, labels = vectors()
    ours = metric_learning(
        "ContrastiveLoss",
        {
            "pos_margin": 0.2,
            "distance": {"name": "LpDistance", "p": 1},
            "reducer": {"name": "ThresholdReducer", "low": 0.1},
        },
        "PairMarginMiner",
        {"pos_margin": 0.3, "neg_margin": 0.9},
        dim=6,
        classes=3,
    )
    theirs = losses.ContrastiveLoss(
        pos_margin=0.2, distance=distances.LpDistance(p=1), reducer=reducers.ThresholdReducer(low=0.1)
    )
    mined = miners.PairMarginMiner(pos_margin=0.3, neg_margin=0.9)(points, labels)
    assert ours(points, labels).item() == theirs(points, labels, mined).item()
    plain = metric_learning("ContrastiveLoss", {}, None, {}, dim=6, classes=3)
    assert plain(points, labels).item() != ours(points, labels).item()


def test_a_loss_with_weights_of_its_own_is_told_its_sizes():
    loss = metric_learning("ProxyAnchorLoss", {"alpha": 16}, None, {}, dim=6, classes=3)
    assert [tuple(weight.shape) for weight in loss.parameters()] == [(3, 6)]


def test_half_precision_is_compared_in_single():
    points, labels = vectors()
    loss = metric_learning("MultiSimilarityLoss", {}, "MultiSimilarityMiner", {}, dim=6, classes=3)
    plain = loss(points.half().float(), labels)
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(points.half(), labels).item() == plain.item()


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        (("MultiSimilarity", {}, None, {}), "Did you mean 'MultiSimilarityLoss'?"),
        (("Foo", {}, None, {}), "Known: AngularLoss, "),
        (("MultiSimilarityLoss", {"alfa": 2}, None, {}), "no option 'alfa'. Did you mean 'alpha'?"),
        (("TripletMarginLoss", {}, "MultiSimilarityMine", {}), "Did you mean 'MultiSimilarityMiner'?"),
        (("TripletMarginLoss", {}, "MultiSimilarityMiner", {"epsilom": 1}), "Did you mean 'epsilon'?"),
        (("TripletMarginLoss", {"distance": "CosineSim"}, None, {}), "Did you mean 'CosineSimilarity'?"),
        (("TripletMarginLoss", {"distance": {"name": "LpDistance", "q": 1}}, None, {}), "no option 'q'"),
        (("TripletMarginLoss", {"distance": 3}, None, {}), "distance: give the name of a class"),
        (("TripletMarginLoss", {"margin": "wide"}, None, {}), "TripletMarginLoss: cannot learn"),
        (("TripletMarginLoss", {"reducer": "DoNothingReducer"}, None, {}), "cannot learn"),
        (("ArcFaceLoss", {"embedding_size": 6}, None, {}), "embedding_size follows from the network"),
        (("VICRegLoss", {}, None, {}), "VICRegLoss: cannot learn"),
        (("RankedListLoss", {}, None, {}), "RankedListLoss: its options are refused"),
        (("GenericPairLoss", {}, None, {}), "has no 'GenericPairLoss'"),
    ],
)
def test_what_cannot_be_is_one_line(words, mend):
    with pytest.raises(UsageError) as error:
        check(*words)
    assert mend in str(error.value)
    assert "\n" not in str(error.value)


def test_trying_leaves_the_random_state_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    check("ProxyNCALoss", {}, None, {})
    assert torch.equal(torch.get_rng_state(), before)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("pytorch_metric_learning")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(UsageError, match=r"pip install 'perisphere\[metric-learning\]'"):
        check("ArcFaceLoss", {}, None, {})
