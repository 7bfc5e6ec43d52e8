"""From vectors in a file to codes: the same bits as from memory, in blocks of any size."""

import numpy as np
import polars as pl
import pytest

from mgrec.catalogue import Catalogue, build_catalogue
from mgrec.data import blocks
from mgrec.data.dataset import Dataset
from mgrec.data.features import Embeddings
from mgrec.ids.residual_kmeans import ResidualKMeans
from mgrec.ids.standardise import Standardiser, fused
from mgrec.recipe import Recipe

ITEMS = 400


def lying(tmp_path, dim: int, seed: int = 0) -> tuple[Embeddings, Embeddings]:
    """Return the same vectors in memory and mapped from a file; one in seven items has none."""
    rng = np.random.default_rng(seed)
    present = np.arange(ITEMS) % 7 != 0
    vectors = (rng.normal(2, 3, (ITEMS, dim)) * present[:, None]).astype(np.float32)
    np.save(tmp_path / f"{seed}.npy", vectors)
    return Embeddings(vectors, present), Embeddings(
        np.load(tmp_path / f"{seed}.npy", mmap_mode="r"), present
    )


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return all(first[name].tobytes() == second[name].tobytes() for name in first.keys() | second)


@pytest.mark.parametrize("pca", [0, 5])
def test_a_file_gives_what_memory_gives(tmp_path, monkeypatch, pca):
    there, mapped = lying(tmp_path, 12)
    scaler = Standardiser.fit(there, pca=pca)
    scaled = scaler.apply(there)
    quantiser = ResidualKMeans.fit(scaled, (16, 8))
    monkeypatch.setattr(blocks, "IN_MEMORY", 0)
    assert same(Standardiser.fit(mapped, pca=pca).state(), scaler.state())
    stored = scaler.apply(mapped)
    assert isinstance(stored.vectors, np.memmap)
    np.testing.assert_array_equal(stored.vectors, scaled.vectors)
    assert same(ResidualKMeans.fit(stored, (16, 8)).state(), quantiser.state())
    np.testing.assert_array_equal(quantiser.encode(stored).codes, quantiser.encode(scaled).codes)


@pytest.mark.parametrize("size", [1, 1000, 10_000])
def test_blocks_of_any_size_give_the_same_codes(tmp_path, monkeypatch, size):
    there, mapped = lying(tmp_path, 12)
    scaler = Standardiser.fit(there, pca=5)
    scaled = scaler.apply(there)
    quantiser = ResidualKMeans.fit(scaled, (16, 8))
    codes = quantiser.encode(scaled).codes
    monkeypatch.setattr(blocks, "BLOCK", size)
    again = scaler.apply(mapped)
    np.testing.assert_array_equal(again.vectors, scaled.vectors)
    assert same(ResidualKMeans.fit(again, (16, 8)).state(), quantiser.state())
    np.testing.assert_array_equal(quantiser.encode(again).codes, codes)


def test_fused_modalities_are_the_same_in_files(tmp_path, monkeypatch):
    first, second = lying(tmp_path, 12), lying(tmp_path, 5, seed=1)
    expected = fused({"text": first[0], "image": second[0]})
    monkeypatch.setattr(blocks, "IN_MEMORY", 0)
    found = fused({"text": first[1], "image": second[1]})
    assert isinstance(found.vectors, np.memmap)
    np.testing.assert_array_equal(found.vectors, expected.vectors)


@pytest.mark.parametrize("recipe", ["text", "early"])
def test_a_folder_gives_the_same_codes_from_files(tmp_path, monkeypatch, recipe):
    (tmp_path / "embeddings").mkdir()
    for place, name in enumerate(("text", "image")):
        emb = lying(tmp_path, 12, seed=place)[0].vectors
        np.savez(tmp_path / "embeddings" / f"{name}.npz", item_id=np.arange(ITEMS), emb=emb)
    pl.DataFrame({"item_id": range(ITEMS)}).write_csv(tmp_path / "items.csv")
    (tmp_path / "sequences.txt").write_text("u 1 2 3")

    def built() -> Catalogue:
        chosen = Recipe.named(recipe).override(["quantiser.size=16", "quantiser.pca=8"])
        return build_catalogue(Dataset.read(tmp_path), chosen)

    there = built()
    monkeypatch.setattr(blocks, "IN_MEMORY", 0)
    monkeypatch.setattr(blocks, "_PIECE", 50)
    mapped = built()
    assert all(isinstance(vectors.vectors, np.memmap) for vectors in mapped.vectors.values())
    np.testing.assert_array_equal(mapped.ids.tokens, there.ids.tokens)
