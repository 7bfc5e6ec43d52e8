"""A catalogue's modality to embeddings, and the shuffled control."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mgrec.configs import ContentConfig
from mgrec.content.encoders import embed
from mgrec.content.shuffle import permutation, permuted, shuffled
from mgrec.data.features import Codes, Embeddings
from mgrec.errors import DataError


@dataclass(frozen=True)
class Catalogue:
    words: list[str | None]
    files: list[Path | None]

    def texts(self) -> list[str | None]:
        return self.words

    def pictures(self) -> list[Path | None]:
        return self.files


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory) -> Catalogue:
    folder = tmp_path_factory.mktemp("catalogue")
    rng = np.random.default_rng(0)
    files: list[Path | None] = []
    for number in range(10):
        files.append(folder / f"{number}.png")
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((60, 90)).save(files[-1])
    files[3] = None
    words: list[str | None] = [f"thing {number}" for number in range(10)]
    words[1], words[6] = None, "  "
    return Catalogue(words, files)


@pytest.mark.parametrize(
    ("modality", "dim", "missing"), [("text", 384, {1, 6}), ("image", 1280, {3})]
)
def test_items_without_content_are_kept(catalogue, cache, modality: str, dim: int, missing: set):
    found = embed(catalogue, modality, ContentConfig(), cache).embeddings
    assert found.vectors.shape == (10, dim)
    assert found.vectors.dtype == np.float32
    assert set(np.flatnonzero(~found.present)) == missing
    assert not found.vectors[~found.present].any()
    assert len(np.unique(found.vectors[found.present], axis=0)) == 10 - len(missing)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_shuffled_before_encoding_is_shuffled_after_it(catalogue, cache, modality: str):
    plain = embed(catalogue, modality, ContentConfig(), cache, seed=4).embeddings
    mixed = embed(catalogue, modality, ContentConfig(shuffle=(modality,)), cache, seed=4).embeddings
    other = embed(catalogue, modality, ContentConfig(shuffle=(modality,)), cache, seed=5).embeddings
    np.testing.assert_array_equal(mixed.vectors, shuffled(plain, 4).vectors)
    np.testing.assert_array_equal(mixed.present, plain.present)
    assert not np.array_equal(mixed.vectors, plain.vectors)
    assert not np.array_equal(mixed.vectors, other.vectors)


def test_only_what_is_named_is_shuffled(catalogue, cache):
    plain = embed(catalogue, "text", ContentConfig(), cache)
    other = embed(catalogue, "text", ContentConfig(shuffle=("image",)), cache, seed=4)
    np.testing.assert_array_equal(plain.embeddings.vectors, other.embeddings.vectors)


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 2**32))
def test_a_permutation_of_those_present(present: list[bool], seed: int):
    having = np.array(present, bool)
    source = permutation(having, seed)
    np.testing.assert_array_equal(np.sort(source), np.arange(len(having)))
    np.testing.assert_array_equal(having[source], having)
    absent = np.flatnonzero(~having)
    np.testing.assert_array_equal(source[absent], absent)
    contents = [str(row) if there else None for row, there in enumerate(present)]
    expected = [str(source[row]) if there else None for row, there in enumerate(present)]
    assert permuted(contents, seed) == expected


def test_ready_made_features_are_shuffled_alike():
    present = np.array([True, False, True, True, True, True])
    rows = np.arange(6, dtype=np.int32)[:, None] * present[:, None]
    vectors = Embeddings(rows.astype(np.float32), present)
    codes = Codes(rows, present, (6,))
    mixed = shuffled(codes, 3)
    np.testing.assert_array_equal(mixed.codes, shuffled(vectors, 3).vectors)
    assert mixed.sizes == (6,)
    assert sorted(mixed.codes[:, 0]) == sorted(rows[:, 0])
    assert mixed.codes[1, 0] == 0
    assert not np.array_equal(mixed.codes, rows)


def test_broken_pictures_are_told_of_and_the_rest_goes_on(catalogue, cache, tmp_path: Path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    files = [*catalogue.files[:3], tmp_path / "bad.jpg"]
    content = embed(Catalogue([None] * 4, files), "image", ContentConfig(), cache)
    assert content.embeddings.present.tolist() == [True, True, True, False]
    (problem,) = content.problems
    assert "1 of 4 pictures, e.g. bad.jpg" in problem


def test_nothing_to_encode_is_refused(cache, tmp_path: Path):
    (tmp_path / "bad.jpg").write_bytes(b"no")
    data = Catalogue([None, " "], [None, tmp_path / "bad.jpg"])
    with pytest.raises(DataError, match=r"^text: no item has a usable text"):
        embed(data, "text", ContentConfig(), cache)
    with pytest.raises(DataError, match=r"^image: no item has a usable image .*bad\.jpg") as error:
        embed(data, "image", ContentConfig(), cache)
    assert "\n" not in str(error.value)


def test_unknown_modality_is_refused(catalogue, cache):
    with pytest.raises(DataError, match=r"modality 'audio': .*expected 'text' or 'image'"):
        embed(catalogue, "audio", ContentConfig(), cache)
