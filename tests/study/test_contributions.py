"""Contributions: leaving a part out leaves the others as they were."""

import dataclasses

import numpy as np
import pytest
import torch

from mgrec import Recommender
from mgrec.errors import RequestError
from mgrec.study.contributions import REPEAT, contributions, parts_of, without

EXACT = ("training.epochs=1", "search.beams=90")  # as many beams as items


@pytest.fixture(scope="module")
def pooled(data, tiny):
    settings = ("model.experts.views=[id,text]", "model.repeat=true", *EXACT)
    return Recommender.fit(data, tiny("text", *settings))


def test_every_part_is_measured_left_out_and_alone(pooled):
    found = dict(contributions(pooled))
    assert list(found) == [
        "without id",
        "without text",
        f"without {REPEAT}",
        "without generated",
        "generated alone",
        "id alone",
        "text alone",
    ]
    test = pooled.split().test
    top = pooled.model.experts["text"].top(test.history, 10)
    hits = (top == test.targets[:, None]).any(1).mean()
    assert found["text alone"].metrics["Recall@10"].value == pytest.approx(hits)


def test_a_ranking_in_bfloat16_leaves_experts_as_they_are(pooled):
    coarse = pooled.recipe.override(["search.precision=bfloat16"])
    rounded = dataclasses.replace(pooled, recipe=coarse)
    pooled.model.train()  # forgets what experts keep of the catalogue
    history = pooled.split().test.history
    rounded.top(history, 5)
    for part, found in contributions(rounded):
        assert np.isfinite(found.metrics["NDCG@10"].value), part
    assert pooled.model.experts["text"].catalogue().dtype == torch.float32


def test_without_what_is_generated_the_experts_rank_by_their_weighed_sum(pooled):
    model, test = pooled.model, pooled.split().test
    context = model.context(torch.from_numpy(test.history.padded()))
    with torch.inference_mode():
        total = model.experts.combined(context.views, context.seen)
    right = torch.from_numpy(test.targets)[:, None]
    rank = (total > total.gather(1, right)).sum(1)
    assert model.experts.weight.any()
    found = dict(contributions(pooled))["without generated"]
    assert found.metrics["Recall@10"].value == pytest.approx(float((rank < 10).float().mean()))


def test_items_that_are_gone_are_in_no_list(pooled):
    gone = np.arange(60)
    rest = pooled.remove_items([pooled.catalogue.item_ids[row] for row in gone])
    before, after = dict(contributions(pooled)), dict(contributions(rest))
    for name, found in before.items():
        assert np.isin(found.lists, gone).any()
        assert not np.isin(after[name].lists, gone).any()


def test_what_is_left_out_no_longer_counts_and_the_model_stays(pooled, data, tiny):
    model = pooled.model
    before = model.experts.weight.clone()
    bare = without(model, parts_of(model))
    assert bare.experts.weight.tolist() == [0, 0]
    assert float(bare.repeat) == 0
    assert torch.equal(model.experts.weight, before)
    assert bare.tokens.weight.data_ptr() == model.tokens.weight.data_ptr()
    assert bare.trie is model.trie
    plain = Recommender.fit(data, tiny("text", *EXACT))
    history = pooled.split().test.history.select(np.arange(20))
    other = plain.top(history, 10)
    alone = Recommender(**{**vars(pooled), "model": bare}).top(history, 10)
    assert (alone == other).all()  # the generative part was trained as if by itself


def test_one_part_has_no_contributions(data, tiny):
    made = Recommender.fit(data, tiny("text", *EXACT))
    with pytest.raises(RequestError, match="no experts and no repeat score"):
        list(contributions(made))
