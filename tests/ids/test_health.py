"""Codebook health: figures that can be checked by hand, and words only where they are needed."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mgrec.data.features import Codes, Embeddings
from mgrec.ids.health import health
from mgrec.ids.residual_kmeans import ResidualKMeans


def codes_of(rows: list[list[int]] | np.ndarray, sizes: tuple[int, ...], missing: int = 0) -> Codes:
    codes = np.array(rows, np.int32).reshape(-1, len(sizes))
    codes = np.concatenate([codes, np.zeros((missing, len(sizes)), np.int32)])
    return Codes(codes, np.arange(len(codes)) < len(codes) - missing, sizes)


def test_figures_of_a_small_block() -> None:
    rows = [[0, 0], [0, 1], [1, 0], [1, 0], [1, 0], [2, 3]]
    found = health(codes_of(rows, (4, 8), missing=2), "image")
    first, second = found.levels
    assert (first.size, first.used, first.dead) == (4, 3, 1)
    assert first.largest == 3 / 6
    shares = np.array([2, 3, 1]) / 6
    assert np.isclose(first.perplexity, np.prod(shares**-shares))
    assert (second.size, second.used, second.dead) == (8, 3, 5)
    assert (found.items, found.missing) == (6, 2)
    assert (found.distinct, found.largest_group, found.colliding) == (4, 3, 3)


def test_items_without_the_modality_do_not_count() -> None:
    rows = [[1], [2]]
    assert health(codes_of(rows, (4,), missing=50), "text").levels == (
        health(codes_of(rows, (4,)), "text").levels
    )


def test_an_even_codebook_is_healthy_in_one_short_line() -> None:
    found = health(codes_of(np.repeat(np.arange(16), 8)[:, None], (16,)), "text")
    assert found.levels[0].healthy
    assert found.levels[0].in_words() == "text level 1 uses 16 of 16 codes (perplexity 16.0)"


def test_a_collapsed_codebook_says_what_it_means_and_what_to_try() -> None:
    rows = np.random.default_rng(0).integers(0, 3, (500, 1))
    level = health(codes_of(rows, (64,)), "image", vectors=500).levels[0]
    assert not level.healthy
    line = level.in_words()
    assert line.startswith("image level 1 uses 3 of 64 codes (perplexity ")
    assert "most codes say nothing" in line
    assert "try" in line


def test_of_ready_made_codes_no_setting_of_the_quantiser_is_suggested() -> None:
    rows = np.zeros((500, 1), int)
    line = health(codes_of(rows, (64,)), "image").levels[0].in_words()
    assert line.endswith("100% of items share one code of the ready-made codes")


def test_a_codebook_used_unevenly_is_named_too() -> None:
    rows = np.concatenate([np.arange(64), np.zeros(936, int)])[:, None]
    level = health(codes_of(rows, (64,)), "image", vectors=1000).levels[0]
    assert not level.healthy
    assert "94% of items share one code" in level.in_words()


def test_few_items_are_no_fault_of_the_codebook() -> None:
    level = health(codes_of([[0], [1], [1]], (256,)), "text").levels[0]
    assert level.healthy
    assert level.in_words().endswith("only 3 items have text")
    assert health(codes_of(np.zeros((63, 1)), (16,)), "text").levels[0].healthy
    assert not health(codes_of(np.zeros((64, 1)), (16,)), "text").levels[0].healthy


def test_the_block_tells_of_collisions_and_of_missing_items() -> None:
    found = health(codes_of([[0, 0], [0, 0], [1, 1], [1, 2]], (2, 4), missing=3), "image")
    lines = found.in_words()
    assert len(lines) == 3
    assert lines[-1] == (
        "image: 3 different codes for 4 items, 2 share theirs, at most 2 the same;"
        " 3 items have no image"
    )
    assert "disambiguation" in health(codes_of([[0]] * 3 + [[1]], (2,)), "text").in_words()[-1]
    assert health(codes_of([[0], [1]], (2,)), "text").in_words()[-1] == (
        "text: 2 different codes for 2 items"
    )


def test_nobody_has_the_modality() -> None:
    found = health(codes_of(np.empty((0, 2)), (4, 4), missing=5), "image")
    assert (found.items, found.missing, found.distinct) == (0, 5, 0)
    assert [level.used for level in found.levels] == [0, 0]
    assert "nan" not in " ".join(found.in_words())


def test_everything_fits_into_json() -> None:
    found = health(codes_of([[0, 1], [1, 1]], (2, 2)), "text")
    back = json.loads(json.dumps(found.to_dict(), default=vars))
    assert back["levels"][0]["used"] == 2
    assert back["levels"][1]["dead"] == 1
    assert back["words"] == found.in_words()


def test_fewer_distinct_points_than_codes_are_told() -> None:
    vectors = np.repeat(np.random.default_rng(1).normal(size=(5, 4)), 40, axis=0)
    embeddings = Embeddings(vectors.astype(np.float32), np.ones(200, bool))
    codes = ResidualKMeans.fit(embeddings, (16, 16)).encode(embeddings)
    found = health(codes, "text")
    assert [level.used for level in found.levels] == [5, 1]
    assert "uses 5 of 16 codes" in found.in_words()[0]


@given(arrays(np.int32, st.tuples(st.integers(1, 40), st.just(2)), elements=st.integers(0, 7)))
@settings(max_examples=80, deadline=None)
def test_figures_agree_with_counting(rows: np.ndarray) -> None:
    found = health(codes_of(rows, (8, 8)), "text")
    groups: dict[tuple[int, ...], int] = {}
    for row in map(tuple, rows.tolist()):
        groups[row] = groups.get(row, 0) + 1
    assert found.distinct == len(groups)
    assert found.largest_group == max(groups.values())
    assert found.colliding == sum(n for n in groups.values() if n > 1)
    for level in found.levels:
        assert 1 <= level.perplexity <= level.used + 1e-9
        assert level.perplexity >= 1 / level.largest - 1e-9
        assert level.used + level.dead == level.size


@pytest.mark.parametrize("items", [64, 4096])
def test_uniform_codes_are_as_perplexing_as_there_are_codes(items: int) -> None:
    rows = np.arange(items)[:, None] % 32
    assert np.isclose(health(codes_of(rows, (32,)), "text").levels[0].perplexity, 32)
