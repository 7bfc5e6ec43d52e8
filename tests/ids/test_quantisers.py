"""One contract over every quantiser, on planted data whose answer is known."""

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mgrec.configs import QuantiserConfig
from mgrec.data.features import Embeddings
from mgrec.errors import ArtifactError, DataError, MissingExtra
from mgrec.ids.kmeans import kmeans, nearest
from mgrec.ids.quantiser import Quantiser, fit_quantiser, quantiser_from_state
from mgrec.ids.standardise import Standardiser, fused

COARSE, FINE, EACH, DIM = 8, 4, 20, 16
KINDS = ("residual_kmeans", "rqvae")


def planted(seed: int = 0) -> tuple[Embeddings, np.ndarray, np.ndarray]:
    """Clusters within clusters: embeddings, coarse label and fine label of each item.

    Every coarse cluster is cut the same way, so that the second level has one set of residuals.
    """
    rng = np.random.default_rng(seed)
    coarse = 10 * np.eye(DIM)[:COARSE]
    fine = 3 * np.eye(DIM)[COARSE : COARSE + FINE]
    labels = rng.permutation(np.repeat(np.arange(COARSE * FINE), EACH))
    noise = rng.normal(0, 0.1, (len(labels), DIM))
    vectors = (coarse[labels // FINE] + fine[labels % FINE] + noise).astype(np.float32)
    return whole(vectors), labels // FINE, labels % FINE


def whole(vectors: np.ndarray) -> Embeddings:
    return Embeddings(vectors.astype(np.float32), np.ones(len(vectors), bool))


def error(quantiser: Quantiser, embeddings: Embeddings) -> float:
    """Share of the variance that the codes lose."""
    back = quantiser.decode(quantiser.encode(embeddings))
    lost = np.square(embeddings.vectors - back)[embeddings.present].sum()
    spread = embeddings.vectors[embeddings.present]
    return float(lost / np.square(spread - spread.mean(0)).sum())


def purity(codes: np.ndarray, labels: np.ndarray) -> float:
    """Share of items whose label is the commonest of their code."""
    table = np.zeros((codes.max() + 1, labels.max() + 1))
    np.add.at(table, (codes, labels), 1)
    return float(table.max(1).sum() / len(codes))


@pytest.fixture(scope="module", params=KINDS)
def fit(request: pytest.FixtureRequest) -> Callable[..., Quantiser]:
    """Return a function of embeddings, sizes and seed that fits one kind of quantiser."""
    kind = request.param
    if kind == "rqvae":
        pytest.importorskip("vector_quantize_pytorch")

    def fitted(
        embeddings: Embeddings, sizes: tuple[int, ...], seed: int = 0, epochs: int = 40
    ) -> Quantiser:
        from mgrec.ids.residual_kmeans import ResidualKMeans
        from mgrec.ids.rqvae import RQVAE

        if kind == "rqvae":
            return RQVAE.fit(embeddings, sizes, iterations=epochs, seed=seed)
        return ResidualKMeans.fit(embeddings, sizes, seed=seed)

    return fitted


@pytest.fixture(scope="module")
def made(fit: Callable[..., Quantiser]) -> tuple[Quantiser, Embeddings]:
    """Return a quantiser of the planted clusters, with what it was fitted on."""
    raw = planted()[0]
    embeddings = Standardiser.fit(raw).apply(raw)
    # So few points are two batches an epoch: RQ-VAE needs many epochs to find the second level.
    return fit(embeddings, (COARSE, FINE), epochs=200), embeddings


def test_the_first_level_finds_the_coarse_clusters(made: tuple[Quantiser, Embeddings]) -> None:
    quantiser, embeddings = made
    codes = quantiser.encode(embeddings).codes
    assert purity(codes[:, 0], planted()[1]) >= 0.95
    assert purity(codes[:, 0] * FINE + codes[:, 1], planted()[1] * FINE + planted()[2]) >= 0.95


def test_codes_are_in_range_and_of_one_type(made: tuple[Quantiser, Embeddings]) -> None:
    quantiser, embeddings = made
    codes = quantiser.encode(embeddings)
    assert codes.sizes == quantiser.sizes == (COARSE, FINE)
    assert codes.codes.dtype == np.int32
    assert codes.codes.min() >= 0
    assert (codes.codes < codes.sizes).all()


def test_every_level_lowers_the_error(fit: Callable[..., Quantiser]) -> None:
    vectors = np.random.default_rng(1).normal(size=(500, 12)) ** 3
    embeddings = Standardiser.fit(whole(vectors)).apply(whole(vectors))
    errors = [error(fit(embeddings, (16,) * levels, epochs=25), embeddings) for levels in (1, 2, 4)]
    assert errors[0] < 1
    assert errors[1] < 0.97 * errors[0]
    assert errors[2] < 0.97 * errors[1]


def test_each_item_alone_gets_the_codes_it_gets_among_others(
    made: tuple[Quantiser, Embeddings],
) -> None:
    quantiser, embeddings = made
    together = quantiser.encode(embeddings).codes
    alone = [quantiser.encode(whole(embeddings.vectors[[i]])).codes[0] for i in range(60)]
    np.testing.assert_array_equal(together[:60], alone)
    np.testing.assert_array_equal(together, quantiser.encode(embeddings).codes)


def test_the_seed_decides_everything(fit: Callable[..., Quantiser]) -> None:
    embeddings = whole(np.random.default_rng(2).normal(size=(300, DIM)))
    first = fit(embeddings, (16, 8), seed=5).state()
    torch.rand(3)
    np.random.default_rng().random(3)
    again = fit(embeddings, (16, 8), seed=5).state()
    assert first.keys() == again.keys()
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    other = fit(embeddings, (16, 8), seed=6).state()
    assert any(first[name].tobytes() != other[name].tobytes() for name in first)


def test_fitting_leaves_torchs_random_state_alone(fit: Callable[..., Quantiser]) -> None:
    embeddings = whole(np.random.default_rng(2).normal(size=(80, DIM)))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fit(embeddings, (4,))
    assert torch.equal(torch.rand(1), expected)


def test_state_round_trip(made: tuple[Quantiser, Embeddings]) -> None:
    quantiser, embeddings = made
    state = quantiser.state()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    back = quantiser_from_state(type(quantiser).__name__, state)
    codes = quantiser.encode(embeddings)
    np.testing.assert_array_equal(back.encode(embeddings).codes, codes.codes)
    np.testing.assert_array_equal(back.decode(codes), quantiser.decode(codes))
    assert back.sizes == quantiser.sizes


def test_new_vectors_are_encoded_by_frozen_codebooks(made: tuple[Quantiser, Embeddings]) -> None:
    quantiser, embeddings = made
    before = {name: array.copy() for name, array in quantiser.state().items()}
    raw, coarse, _ = planted(seed=9)
    unseen = Standardiser.fit(planted()[0]).apply(raw)
    codes = quantiser.encode(unseen).codes[:, 0]
    known = quantiser.encode(embeddings).codes[:, 0]
    assert purity(np.concatenate([known, codes]), np.concatenate([planted()[1], coarse])) >= 0.95
    assert all((before[name] == array).all() for name, array in quantiser.state().items())


def test_absent_rows_teach_nothing_and_get_zeros(fit: Callable[..., Quantiser]) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(200, 8)).astype(np.float32)
    present = rng.random(200) < 0.7
    poisoned = np.where(present[:, None], vectors, np.nan).astype(np.float32)
    quantiser = fit(Embeddings(poisoned, present), (8, 4))
    codes = quantiser.encode(Embeddings(poisoned, present))
    np.testing.assert_array_equal(codes.present, present)
    assert (codes.codes[~present] == 0).all()
    assert (quantiser.decode(codes)[~present] == 0).all()
    assert np.isfinite(quantiser.decode(codes)).all()
    packed = fit(whole(vectors[present]), (8, 4)).encode(whole(vectors[present]))
    np.testing.assert_array_equal(codes.codes[present], packed.codes)


def test_fewer_points_than_codes(fit: Callable[..., Quantiser]) -> None:
    vectors = np.repeat(np.random.default_rng(4).normal(size=(5, 8)), 3, axis=0)
    quantiser = fit(whole(vectors), (16, 16))
    codes = quantiser.encode(whole(vectors))
    assert len(np.unique(codes.codes, axis=0)) <= 5
    groups = codes.codes.reshape(5, 3, 2)
    assert (groups == groups[:, :1]).all()  # the same vector has the same codes
    assert np.isfinite(quantiser.decode(replace(codes, codes=codes.codes + 15))).all()


def test_levels_may_differ_in_size(fit: Callable[..., Quantiser]) -> None:
    embeddings = whole(np.random.default_rng(5).normal(size=(400, 8)))
    codes = fit(embeddings, (4, 32, 2)).encode(embeddings)
    assert codes.sizes == (4, 32, 2)
    used = [len(np.unique(codes.codes[:, level])) for level in range(3)]
    assert used[0] <= 4
    assert used[1] > 8
    assert used[2] == 2


def test_one_item_is_enough(fit: Callable[..., Quantiser]) -> None:
    embeddings = whole(np.ones((1, 4)))
    assert fit(embeddings, (4, 4)).encode(embeddings).codes.shape == (1, 2)


def test_what_cannot_be_quantised_is_refused(fit: Callable[..., Quantiser]) -> None:
    nobody = Embeddings(np.zeros((3, 4), np.float32), np.zeros(3, bool))
    with pytest.raises(DataError, match="no item"):
        fit(nobody, (4,))
    with pytest.raises(DataError, match="NaN or infinity"):
        fit(whole(np.array([[1, np.nan], [0, 1]])), (2,))


def test_another_dimension_is_refused(made: tuple[Quantiser, Embeddings]) -> None:
    with pytest.raises(DataError, match=f"found 3 dimensions, expected {DIM}"):
        made[0].encode(whole(np.zeros((2, 3))))


# K-means alone


def test_duplicates_do_not_waste_codes() -> None:
    """990 copies of one point, ten others: plain Lloyd from random points would start on copies."""
    rng = np.random.default_rng(6)
    others = rng.normal(size=(10, 6)).astype(np.float32)
    points = np.concatenate([np.zeros((990, 6), np.float32), others])[rng.permutation(1000)]
    centres = kmeans(points, 11, 25, rng)
    assert len(centres) == 11
    distances = np.linalg.norm(points - centres[nearest(points, centres)], axis=1)
    assert distances.max() < 1e-5


def test_seeding_takes_every_group_of_copies_once_however_far_from_the_origin() -> None:
    """There a product's rounding is as large as what lies between the groups, 30 copies each."""
    rng = np.random.default_rng(9)
    groups = rng.normal(1500, 1, size=(40, 64)).astype(np.float32)
    points = np.repeat(groups, 30, axis=0)[rng.permutation(1200)]
    seeds = kmeans(points, 40, 0, rng)
    assert {tuple(seed) for seed in seeds} == {tuple(group) for group in groups}


def test_codes_that_seeding_could_not_fill_are_filled_later() -> None:
    """Seeding sees the first 4,096 points only, all copies; the passes must find the rest."""
    rng = np.random.default_rng(7)
    groups = rng.normal(size=(6, 5)).astype(np.float32)
    late = np.repeat(groups, 200, axis=0)
    points = np.concatenate([np.ones((4096, 5), np.float32), late])
    centres = kmeans(points, 7, 25, rng)
    assert len(centres) == 7
    assert np.linalg.norm(points - centres[nearest(points, centres)], axis=1).max() < 1e-4


def test_noise_does_not_leave_an_outlier_a_code() -> None:
    """Where there is no structure, plain Lloyd gives most codes one outlier each."""
    rng = np.random.default_rng(8)
    points = (rng.normal(size=(1500, 64)) * rng.lognormal(0, 0.3, (1500, 1))).astype(np.float32)
    centres = kmeans(points, 100, 25, rng)
    counts = np.bincount(nearest(points, centres), minlength=100) / 1500
    entropy = -(counts[counts > 0] * np.log(counts[counts > 0])).sum()
    assert np.exp(entropy) > 60


@given(
    arrays(np.float32, (20, 3), elements=st.floats(-4, 4, width=16)),
    arrays(np.float32, (6, 3), elements=st.floats(-4, 4, width=16)),
)
@settings(max_examples=60, deadline=None)
def test_nearest_is_exact_and_ties_go_to_the_lowest(
    points: np.ndarray, centres: np.ndarray
) -> None:
    exact = np.square(points[:, None].astype(np.float64) - centres).sum(2)
    np.testing.assert_array_equal(nearest(points, centres), exact.argmin(1))


def test_nearest_is_exact_far_from_the_origin() -> None:
    """GEMM in float32 loses all difference between centres this close together."""
    rng = np.random.default_rng(9)
    centres = (1000 + rng.normal(0, 0.05, (20, 32))).astype(np.float32)
    points = (centres[rng.integers(0, 20, 400)] + rng.normal(0, 0.02, (400, 32))).astype(np.float32)
    exact = np.square(points[:, None].astype(np.float64) - centres).sum(2).argmin(1)
    np.testing.assert_array_equal(nearest(points, centres), exact)


# Standardisation and early fusion


def test_standardised_vectors_are_centred_and_of_unit_scale() -> None:
    rng = np.random.default_rng(10)
    vectors = 5 + 3 * rng.normal(size=(500, 6)).astype(np.float32)
    present = rng.random(500) < 0.8
    given_ = Embeddings(vectors * present[:, None], present)
    out = Standardiser.fit(given_).apply(given_)
    assert np.abs(out.vectors[present].mean(0)).max() < 1e-4
    assert np.isclose(np.square(out.vectors[present]).mean(), 1, rtol=1e-4)
    assert (out.vectors[~present] == 0).all()
    # One scale for all dimensions: relative distances are those of the encoder.
    before = np.linalg.norm(np.diff(vectors[present], axis=0), axis=1)
    after = np.linalg.norm(np.diff(out.vectors[present], axis=0), axis=1)
    assert np.allclose(before / after, before[0] / after[0], rtol=1e-3)


def test_pca_keeps_the_directions_of_most_variance() -> None:
    rng = np.random.default_rng(11)
    turn = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    latent = rng.normal(size=(400, 10)) * np.array([9, 8, 7] + [0.01] * 7)
    given_ = whole(latent @ turn)
    standardiser = Standardiser.fit(given_, pca=3)
    out = standardiser.apply(given_).vectors
    assert out.shape == (400, 3)
    kept = np.square(out).sum() * standardiser.scale**2
    assert kept > 0.999 * np.square(given_.vectors - given_.vectors.mean(0)).sum()
    back = Standardiser.from_state(standardiser.state()).apply(given_).vectors
    np.testing.assert_array_equal(back, out)
    alone = standardiser.apply(whole(given_.vectors[[7]])).vectors[0]
    np.testing.assert_array_equal(alone, out[7])


def test_standardiser_refuses_what_it_cannot_measure() -> None:
    with pytest.raises(DataError, match="no item"):
        Standardiser.fit(Embeddings(np.zeros((3, 4), np.float32), np.zeros(3, bool)))
    with pytest.raises(DataError, match="found 2 dimensions, expected 4"):
        Standardiser.fit(whole(np.eye(4))).apply(whole(np.eye(2)))


def test_fused_modalities_weigh_the_same_whatever_their_width() -> None:
    rng = np.random.default_rng(12)
    raw = {
        "text": Embeddings(rng.normal(size=(300, 40)).astype(np.float32), np.arange(300) % 5 != 0),
        "image": Embeddings(
            100 * rng.normal(size=(300, 4)).astype(np.float32), np.arange(300) % 3 != 0
        ),
    }
    parts = {name: Standardiser.fit(e).apply(e) for name, e in raw.items()}
    both = fused(parts)
    assert both.dim == 44
    np.testing.assert_array_equal(both.present, raw["text"].present | raw["image"].present)
    assert (both.vectors[~raw["image"].present, 40:] == 0).all()
    text = np.square(both.vectors[raw["text"].present, :40]).sum(1).mean()
    image = np.square(both.vectors[raw["image"].present, 40:]).sum(1).mean()
    assert np.isclose(text, image, rtol=1e-3)


def test_fused_refuses_modalities_of_different_catalogues() -> None:
    with pytest.raises(DataError, match="3 items in text, 2 items in image"):
        fused({"text": whole(np.eye(3)), "image": whole(np.eye(2))})
    with pytest.raises(DataError, match="no modality"):
        fused({})


# The recipe's choice


def test_the_recipe_chooses_kind_levels_and_size() -> None:
    embeddings = whole(np.random.default_rng(13).normal(size=(300, 6)))
    config = QuantiserConfig(
        levels=3, size="auto", iterations=5, per_modality={"image": {"levels": 2, "size": 8}}
    )
    assert fit_quantiser(embeddings, config, "image", 0).sizes == (8, 8)
    assert fit_quantiser(embeddings, config, "text", 0).sizes == (32, 32, 32)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    embeddings = whole(np.random.default_rng(14).normal(size=(20, 4)))
    with pytest.raises(MissingExtra, match=r"pip install 'mgrec\[rqvae\]'"):
        fit_quantiser(embeddings, QuantiserConfig(kind="rqvae", size=4), "text", 0)


def test_an_unknown_quantiser_is_refused() -> None:
    with pytest.raises(ArtifactError, match="'Magic': unknown"):
        quantiser_from_state("Magic", {})
