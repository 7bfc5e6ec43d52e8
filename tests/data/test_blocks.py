"""Vectors in files instead of memory: the same bits, the same refusals, and no memory held."""

import gzip
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from mgrec.content.shuffle import shuffled
from mgrec.data import blocks, npz
from mgrec.data.dataset import Dataset
from mgrec.data.features import Embeddings
from mgrec.errors import DataError

ITEMS, DIM = 300, 6


@pytest.fixture
def in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every array count as too large for memory."""
    monkeypatch.setattr(blocks, "IN_MEMORY", 0)


def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ITEMS, DIM)).astype(np.float32)


def folder(root: Path, emb: np.ndarray, ids: np.ndarray | None = None) -> Path:
    """Write a data folder of items 0 .. ITEMS - 1 with ready-made vectors of them."""
    (root / "embeddings").mkdir(parents=True)
    (root / "items.csv").write_text("item_id\n" + "\n".join(map(str, range(ITEMS))))
    (root / "sequences.txt").write_text("u 1 2 3")
    np.savez(file_of(root), item_id=np.arange(len(emb)) if ids is None else ids, emb=emb)
    return root


def file_of(root: Path) -> Path:
    return root / "embeddings" / "text.npz"


def in_a_file(array: np.ndarray) -> bool:
    return isinstance(array, np.memmap) or isinstance(array.base, np.memmap)


def refusal(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        Dataset.read(root)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("embeddings/text.npz")
    return message


# What lies in the file -> vectors and ids.
STORED = {
    "as it is read": lambda: (vectors(), np.arange(ITEMS)),
    "in another order": lambda: (vectors(), np.random.default_rng(1).permutation(ITEMS)),
    "of some items": lambda: (vectors()[:200], np.arange(50, 250)),
    "with unknown items": lambda: (vectors(), np.arange(ITEMS) + 100),
    "in half precision": lambda: (vectors().astype(np.float16), np.arange(ITEMS)),
    "in double precision": lambda: (vectors().astype(np.float64), np.arange(ITEMS)),
    "in the other byte order": lambda: (vectors().astype(">f4"), np.arange(ITEMS).astype(">i8")),
    "by columns": lambda: (np.asfortranarray(vectors()), np.arange(ITEMS)),
}


@pytest.mark.parametrize("case", STORED)
def test_a_mapped_file_gives_what_memory_gives(tmp_path, case, monkeypatch):
    emb, ids = STORED[case]()
    root = folder(tmp_path, emb, ids)
    there = Dataset.read(root)
    monkeypatch.setattr(blocks, "IN_MEMORY", 0)
    mapped = Dataset.read(root)
    assert not in_a_file(there.embeddings["text"].vectors)
    assert in_a_file(mapped.embeddings["text"].vectors)
    np.testing.assert_array_equal(
        mapped.embeddings["text"].vectors, there.embeddings["text"].vectors
    )
    np.testing.assert_array_equal(
        mapped.embeddings["text"].present, there.embeddings["text"].present
    )
    assert mapped.embeddings["text"].vectors.dtype == np.float32
    assert mapped.fingerprint == there.fingerprint
    assert mapped.notes.counts == there.notes.counts
    assert vars(mapped.notes) == vars(there.notes)


def test_what_lies_right_is_not_copied(tmp_path, in_files):
    root = folder(tmp_path, vectors())
    data = Dataset.read(root)
    before = data.fingerprint
    with file_of(root).open("r+b") as file:  # seen through the map: nothing else holds them
        content = file.read()
        file.seek(content.index(vectors().tobytes()[-40:]))
        file.write(bytes(4))
    assert np.count_nonzero(data.embeddings["text"].vectors != vectors()) == 1
    assert Dataset.read(folder(tmp_path / "other", vectors())).fingerprint == before


@pytest.mark.parametrize("packed", ["compressed", "gzip"])
def test_what_cannot_be_mapped_is_read(tmp_path, in_files, packed):
    root = folder(tmp_path, vectors())
    if packed == "gzip":
        file_of(root).with_suffix(".npz.gz").write_bytes(gzip.compress(file_of(root).read_bytes()))
        file_of(root).unlink()
    else:
        np.savez_compressed(file_of(root), item_id=np.arange(ITEMS), emb=vectors())
    np.testing.assert_array_equal(Dataset.read(root).embeddings["text"].vectors, vectors())


def test_values_that_are_not_finite_are_found_in_any_block(tmp_path, in_files, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 7 * 4 * DIM)
    for kind, row, value in ((np.float32, 298, np.nan), (np.float64, 160, 1e300)):
        emb = vectors().astype(kind)
        emb[row, 2] = value
        message = refusal(folder(tmp_path / kind.__name__, emb))
        assert f"row {row + 1}: found {'nan' if np.isnan(value) else 'inf'}" in message


def test_a_mapped_file_that_is_not_whole_is_refused(tmp_path, in_files):
    root = folder(tmp_path, vectors())
    whole = file_of(root).read_bytes()
    middle = whole.index(vectors()[ITEMS // 2].tobytes())
    for keep in (0, 10, len(whole) // 2, len(whole) - 10):
        file_of(root).write_bytes(whole[:keep])
        assert "not a whole .npz file" in refusal(root)
    file_of(root).write_bytes(whole[:middle] + b"\0\0\0\0" + whole[middle + 4 :])
    assert "Bad CRC-32" in refusal(root)


def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path, in_files):
    root = folder(tmp_path, vectors())
    shape, more = f"({ITEMS}, {DIM})".encode(), f"({3 * ITEMS}, {DIM})".encode()
    content = file_of(root).read_bytes()
    assert content.count(shape) == 1
    file_of(root).write_bytes(content.replace(shape, more))
    assert "not a whole .npz file" in refusal(root)


def test_other_ids_are_refused_as_before(tmp_path, in_files):
    twice = np.r_[np.arange(ITEMS - 1), 7]
    assert "7 stands there twice" in refusal(folder(tmp_path / "a", vectors(), twice))
    assert "none of its 300 ids" in refusal(
        folder(tmp_path / "b", vectors(), np.arange(ITEMS) + 1000)
    )
    assert "299 ids and 300 rows" in refusal(
        folder(tmp_path / "c", vectors(), np.arange(ITEMS - 1))
    )


@pytest.mark.parametrize("size", [1, 100, 1 << 12, 1 << 26])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_blocks_of_any_size_are_the_same_rows(tmp_path, monkeypatch, size, dtype):
    monkeypatch.setattr(blocks, "BLOCK", size)
    monkeypatch.setattr(blocks, "_PIECE", 1 + size // 50)
    given = vectors().astype(dtype)
    np.save(tmp_path / "vectors.npy", given)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    rows = np.random.default_rng(2).permutation(ITEMS)[:250]
    expected = given[rows].astype(np.float32)
    for array in (given, mapped):
        read = list(blocks.blocks(array, rows))
        np.testing.assert_array_equal(np.concatenate([some for some, _ in read]), rows)
        np.testing.assert_array_equal(np.concatenate([block for _, block in read]), expected)
        np.testing.assert_array_equal(blocks.take(array, rows), expected)
        source = np.where(np.arange(250) % 3 == 0, -1, rows)
        zeroed = np.where((source < 0)[:, None], np.float32(0), expected)
        np.testing.assert_array_equal(blocks.gather(array, source), zeroed)
        whole = [array[span] for span in blocks.spans(array)]
        np.testing.assert_array_equal(np.concatenate(whole), given)
        assert max(map(len, whole)) <= max(1, size // given[0].nbytes)


def test_no_rows_are_no_blocks():
    none = np.zeros((0, DIM), np.float32)
    assert list(blocks.spans(none)) == list(blocks.blocks(none, np.empty(0, np.int64))) == []
    assert blocks.gather(vectors(), np.full(3, -1)).tolist() == [[0] * DIM] * 3


def test_a_scratch_file_is_zero_and_keeps_what_is_written(in_files):
    out = blocks.zeros(50, DIM)
    assert isinstance(out, np.memmap)
    assert not out.any()
    out[7] = 3
    blocks.release(out)
    assert out[7].tolist() == [3] * DIM
    assert np.count_nonzero(out) == DIM


def test_no_room_for_a_scratch_file_is_said(tmp_path, monkeypatch, in_files):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"gone: no room for .* set TMPDIR"):
        blocks.zeros(5, 5)


def test_private_changes_are_not_given_back(tmp_path):
    np.save(tmp_path / "vectors.npy", vectors())
    private = np.load(tmp_path / "vectors.npy", mmap_mode="c")
    private[3] = 1
    blocks.release(private[2:])
    assert private[3].tolist() == [1] * DIM


def test_shuffled_vectors_are_the_same_in_a_file(monkeypatch):
    given = Embeddings(vectors(), np.arange(ITEMS) % 5 != 0)
    expected = shuffled(given, 3).vectors
    monkeypatch.setattr(blocks, "IN_MEMORY", 0)
    found = shuffled(given, 3).vectors
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see pages")
def test_reading_holds_no_more_than_a_block(tmp_path, in_files, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 1 << 20)
    np.savez(tmp_path / "a.npz", item_id=np.arange(1 << 16), emb=np.ones((1 << 16, 128), "f4"))
    _, mapped = npz.load(tmp_path / "a.npz", "emb", "a.npz")
    before, most = resident(), 0
    for _ in blocks.blocks(mapped, np.arange(len(mapped))):
        most = max(most, resident() - before)
    for _ in blocks.spans(mapped):
        most = max(most, resident() - before)
    assert most < 8 << 20
    mapped.max()
    assert resident() - before > 30 << 20  # what it would have been


def resident() -> int:
    """Return bytes of files that are mapped and in memory."""
    status = Path("/proc/self/status").read_text()
    return 1024 * sum(map(int, re.findall(r"Rss(?:File|Shmem):\s+(\d+)", status)))
