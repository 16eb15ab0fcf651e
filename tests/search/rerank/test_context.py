"""Putting the head of a list into a new order."""

import warnings

import numpy as np
import pytest
from galleries import clustered

from perisphere.index.ranking import NONE
from perisphere.search.rerank import ArrayGallery, Context, parse_chain


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("chain", ["softlabel", "aqe", "kreciprocal", "diffusion"])
def test_lists_shorter_than_the_head_warn_of_nothing(chain, metric):
    vectors, labels = clustered(classes=2, each=3)
    context = Context(ArrayGallery(vectors, metric, labels=labels), vectors[:2])
    ranking = context.search(context.queries, 13)
    with warnings.catch_warnings(), np.errstate(all="warn", under="ignore"):
        warnings.simplefilter("error")
        found = parse_chain(f"{chain}(depth=9)")(ranking, context)
    assert sorted(found.ids[0, :6].tolist()) == list(range(6))
    assert (found.ids[:, 6:] == NONE).all()
    assert np.isneginf(found.scores[:, 6:]).all()
