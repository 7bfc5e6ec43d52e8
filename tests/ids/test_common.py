"""A common space: planted shared directions found, private ones left out; codes of what is left."""

import numpy as np
import pytest

from mgrec.configs import QuantiserConfig
from mgrec.data.features import Codes, Embeddings
from mgrec.errors import DataError
from mgrec.ids.common import common_space
from mgrec.ids.projected import Projected
from mgrec.ids.quantiser import fit_quantiser, quantiser_from_state
from mgrec.measure.information import adjusted_mutual_information

ITEMS = 1500
CONFIG = QuantiserConfig(levels=1, size=4)


def views(count=2, shared=2, private=6, seed=0):
    """Modalities that share two weak directions and drown them in loud ones of their own."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 4, ITEMS)
    corners = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float64)
    latent = corners[groups] + 0.1 * rng.normal(size=(ITEMS, shared))
    found = {}
    for n in range(count):
        own = 3 * rng.normal(size=(ITEMS, private))
        turn, _ = np.linalg.qr(rng.normal(size=(shared + private, shared + private)))
        vectors = (np.hstack([latent, own]) @ turn).astype(np.float32)
        found[f"view{n}"] = Embeddings(vectors, np.ones(ITEMS, bool))
    return groups, found


@pytest.mark.parametrize("count", [2, 3])
def test_what_modalities_share_is_what_their_codes_are_made_of(count):
    groups, found = views(count)
    spaces = common_space(found, 2)
    codes, plain = {}, {}
    for name, view in found.items():
        projection = spaces[name]
        codes[name] = fit_quantiser(projection.apply(view), CONFIG, name, 0).encode(
            projection.apply(view)
        )
        plain[name] = fit_quantiser(view, CONFIG, name, 0).encode(view)
    for name in found:
        assert adjusted_mutual_information(codes[name].codes[:, 0], groups) > 0.9
        assert adjusted_mutual_information(plain[name].codes[:, 0], groups) < 0.1


def test_views_meet_in_the_space_and_axes_weigh_what_they_agree_by():
    _, found = views()
    spaces = common_space(found, 8)
    one, other = (spaces[name].apply(view).vectors for name, view in found.items())
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in zip(one.T, other.T, strict=True)]
    assert min(agreement[:2]) > 0.9
    spread = one.std(0)
    assert (spread[:2] > 3 * spread[2:].max()).all()
    assert np.sqrt(np.square(one).mean()) == pytest.approx(1, abs=0.01)


def test_items_without_one_modality_are_left_out_of_fitting_and_keep_their_code():
    groups, found = views()
    rng = np.random.default_rng(1)
    lacks = rng.random(ITEMS) < 0.3
    bad = np.where(lacks[:, None], 0, found["view1"].vectors).astype(np.float32)
    partly = {"view0": found["view0"], "view1": Embeddings(bad, ~lacks)}
    projection = common_space(partly, 2)["view0"]
    block = projection.apply(partly["view0"])
    codes = fit_quantiser(block, CONFIG, "view0", 0).encode(block)
    assert codes.present.all()
    assert adjusted_mutual_information(codes.codes[lacks, 0], groups[lacks]) > 0.9


def test_a_projected_quantiser_is_one_and_comes_back_from_its_state():
    _, found = views()
    view = found["view0"]
    present = np.arange(ITEMS) % 5 > 0
    view = Embeddings(np.where(present[:, None], view.vectors, 0).astype(np.float32), present)
    projection = common_space(found, 2)["view0"]
    inner = fit_quantiser(projection.apply(view), QuantiserConfig(levels=2, size=8), "view0", 0)
    made = Projected(projection, inner)
    again = quantiser_from_state("Projected", made.state())
    codes = made.encode(view)
    assert made.sizes == again.sizes == (8, 8)
    assert np.array_equal(codes.codes, again.encode(view).codes)
    assert not codes.codes[~present].any()
    # What the codes stand for, projected, is what the inner quantiser says they stand for.
    decoded = again.decode(codes)
    assert decoded.shape == view.vectors.shape
    assert not decoded[~present].any()
    back = projection.apply(Embeddings(decoded, present)).vectors
    assert np.allclose(back[present], inner.decode(codes)[present], atol=1e-3)


def test_a_space_needs_two_modalities_that_meet():
    _, found = views()
    with pytest.raises(DataError, match="at least two modalities, found view0"):
        common_space({"view0": found["view0"]}, 2)
    half = np.arange(ITEMS) % 2 == 0
    apart = {n: Embeddings(v.vectors, half if n == "view0" else ~half) for n, v in found.items()}
    with pytest.raises(DataError, match="found 0 items that have all of view0, view1"):
        common_space(apart, 2)


def test_codes_of_other_vectors_are_refused():
    _, found = views()
    projection = common_space(found, 2)["view0"]
    inner = fit_quantiser(projection.apply(found["view0"]), CONFIG, "view0", 0)
    wide = Embeddings(np.zeros((3, 20), np.float32), np.ones(3, bool))
    with pytest.raises(DataError, match="found 20 dimensions, expected 8"):
        Projected(projection, inner).encode(wide)
    assert isinstance(inner.encode(projection.apply(found["view0"])), Codes)
