"""What was encoded once is never encoded again, and nothing that happens to the cache matters."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgrec.content.cache import VectorCache, default_folder
from mgrec.content.encoding import encode_pictures, encode_texts
from mgrec.errors import RecipeError
from tests.content.encoder import CountingEncoder

TEXTS = [f"text number {number}" for number in range(20)]


def texts(cache: Path, of=TEXTS, revision="1", **options):
    encoder = CountingEncoder(revision)
    content = encode_texts(of, encoder, cache=cache, **options)
    return content.embeddings, encoder


def chunks(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.safetensors"))


def test_texts_are_encoded_once_and_land_in_their_rows(tmp_path: Path):
    of = ["b", None, "a", "  ", "b", "\n\t", " a "]
    first, encoder = texts(tmp_path, of)
    assert sorted(encoder.seen) == ["a", "b"]
    assert first.present.tolist() == [True, False, True, False, True, False, True]
    for row, text in enumerate(["b", None, "a", None, "b", None, "a"]):
        expected = np.zeros(encoder.dim) if text is None else encoder.vector(text)
        np.testing.assert_array_equal(first.vectors[row], expected)
    second, encoder = texts(tmp_path, of)
    assert encoder.seen == []
    np.testing.assert_array_equal(second.vectors, first.vectors)


def test_only_new_texts_are_encoded(tmp_path: Path):
    texts(tmp_path)
    mixed, encoder = texts(tmp_path, ["new", *reversed(TEXTS), "newer"])
    assert sorted(encoder.seen) == ["new", "newer"]
    np.testing.assert_array_equal(mixed.vectors[20], encoder.vector(TEXTS[0]))


def test_longest_first_so_that_batches_are_alike(tmp_path: Path):
    _, encoder = texts(tmp_path, ["a", "aaaa", "aa", "aaa"], batch=1)
    assert encoder.seen == ["aaaa", "aaa", "aa", "a"]


def test_another_revision_is_another_encoder(tmp_path: Path):
    one, _ = texts(tmp_path, revision="1")
    two, encoder = texts(tmp_path, revision="2")
    assert len(encoder.seen) == len(TEXTS)
    assert not np.array_equal(one.vectors, two.vectors)
    again, encoder = texts(tmp_path, revision="1")
    assert encoder.seen == []
    np.testing.assert_array_equal(again.vectors, one.vectors)


def test_a_text_is_never_taken_for_a_picture(tmp_path: Path):
    data = b"P6 1 1 255 abc"  # a picture whose bytes are also a text
    encode_texts([data.decode()], CountingEncoder(), cache=tmp_path)
    encoder = CountingEncoder()
    encode_pictures([data], encoder, cache=tmp_path)
    assert len(encoder.seen) == 1


def test_moved_local_model_finds_its_vectors(tmp_path: Path):
    places = [VectorCache.of(tmp_path, "text", f"{at}/my-model", "r").folder for at in "ab"]
    assert places[0] == places[1]
    assert places[0] != VectorCache.of(tmp_path, "text", "a/other-model", "r").folder


def test_interrupted_run_keeps_what_it_had(tmp_path: Path):
    stopped = CountingEncoder(fails_at=8)
    with pytest.raises(KeyboardInterrupt):
        encode_texts(TEXTS, stopped, batch=2, cache=tmp_path)  # steps of 4
    kept, encoder = texts(tmp_path)
    assert len(encoder.seen) == len(TEXTS) - 8
    for row, text in enumerate(TEXTS):
        np.testing.assert_array_equal(kept.vectors[row], encoder.vector(text))


ENDLESS = """
import sys, time
from pathlib import Path
from mgrec.content import cache
from mgrec.content.encoding import encode_texts
from tests.content.encoder import CountingEncoder

class Slow(CountingEncoder):
    def encode(self, contents, batch):
        time.sleep(0.02)
        return super().encode(contents, batch)

cache._CHUNK_ROWS = 4
encode_texts([f"text number {n}" for n in range(4000)], Slow(), batch=1, cache=Path(sys.argv[1]))
"""


def test_killed_run_keeps_its_chunks(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", ENDLESS, str(tmp_path)]) as run:
        while len(chunks(tmp_path)) < 3 and run.poll() is None:
            time.sleep(0.01)
        run.kill()
    kept = 4 * len(chunks(tmp_path))
    every = [f"text number {number}" for number in range(4000)]
    found, encoder = texts(tmp_path, every)
    assert 12 <= kept < 4000
    assert len(encoder.seen) == 4000 - kept
    np.testing.assert_array_equal(found.vectors, [encoder.vector(text) for text in every])


def test_half_a_chunk_of_a_killed_run_is_not_seen(tmp_path: Path):
    texts(tmp_path)
    (chunk,) = chunks(tmp_path)
    chunk.rename(chunk.with_suffix(".tmp"))
    _, encoder = texts(tmp_path)
    assert len(encoder.seen) == len(TEXTS)


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied", "foreign"])
@pytest.mark.usefixtures("shown")
def test_corrupt_chunk_is_told_of_and_made_anew(tmp_path: Path, damage: str, capfd):
    first, _ = texts(tmp_path)
    (chunk,) = chunks(tmp_path)
    data = bytearray(chunk.read_bytes())
    data[-3] ^= 1
    new = {"flipped": data, "cut": data[:-40], "emptied": b"", "foreign": b"hello"}[damage]
    chunk.write_bytes(new)
    again, encoder = texts(tmp_path)
    assert len(encoder.seen) == len(TEXTS)
    np.testing.assert_array_equal(again.vectors, first.vectors)
    assert "corrupt" in " ".join(capfd.readouterr().err.split())
    _, encoder = texts(tmp_path)
    assert encoder.seen == []
    assert "corrupt" not in capfd.readouterr().err


def test_one_corrupt_chunk_costs_no_other(tmp_path: Path):
    texts(tmp_path, TEXTS[:12])
    texts(tmp_path, TEXTS)
    small = min(chunks(tmp_path), key=lambda file: file.stat().st_size)
    small.write_bytes(b"")
    _, encoder = texts(tmp_path)
    assert sorted(encoder.seen) == sorted(TEXTS[12:])


def test_runs_at_the_same_time_do_not_meet(tmp_path: Path):
    def run(start: int):
        mine = TEXTS[start:] + TEXTS[:start]
        return mine, texts(tmp_path, mine, batch=1)[0]

    with ThreadPoolExecutor(8) as pool:
        for mine, found in pool.map(run, [0, 0, 3, 3, 7, 7, 11, 11]):
            expected = [CountingEncoder().vector(text) for text in mine]
            np.testing.assert_array_equal(found.vectors, expected)
    _, encoder = texts(tmp_path)
    assert encoder.seen == []


@pytest.mark.usefixtures("shown")
def test_cache_that_cannot_be_written_is_told_of_once(tmp_path: Path, capfd, monkeypatch):
    monkeypatch.setattr("mgrec.content.cache._CHUNK_ROWS", 1)
    (tmp_path / "file").touch()
    found, encoder = texts(tmp_path / "file", batch=1)
    assert len(encoder.seen) == len(TEXTS)
    np.testing.assert_array_equal(found.vectors[3], encoder.vector(TEXTS[3]))
    assert capfd.readouterr().err.count("warning:") == 1


def test_nan_is_refused_and_not_kept(tmp_path: Path):
    class Broken(CountingEncoder):
        def encode(self, contents, batch):
            return super().encode(contents, batch) * np.float32("nan")

    with pytest.raises(RecipeError, match=r"encoder 'counting': found NaN"):
        encode_texts(["a"], Broken(), cache=tmp_path)
    assert chunks(tmp_path) == []


def test_default_folder(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("MGREC_CACHE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine"
    encode_texts(["a"], CountingEncoder())
    assert len(chunks(tmp_path / "mine")) == 1
    monkeypatch.delenv("MGREC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert default_folder() == tmp_path / "caches" / "mgrec"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "mgrec"


def painted(path: Path, colour) -> Path:
    Image.new("RGB", (9, 9), colour).save(path)
    return path


def test_pictures_by_their_bytes_and_broken_ones_never_kept(tmp_path: Path):
    red, blue = painted(tmp_path / "r.png", "red"), painted(tmp_path / "b.png", "blue")
    copy = tmp_path / "copy.png"
    copy.write_bytes(red.read_bytes())
    broken = tmp_path / "broken.png"
    broken.write_bytes(red.read_bytes()[:-30])
    given = [red, None, blue, broken, copy, red.read_bytes()]
    encoder = CountingEncoder()
    content = encode_pictures(given, encoder, cache=tmp_path / "c")
    assert len(encoder.seen) == 2
    assert content.embeddings.present.tolist() == [True, False, True, False, True, True]
    vectors = content.embeddings.vectors
    np.testing.assert_array_equal(vectors[[4, 5]], vectors[[0, 0]])
    assert not np.array_equal(vectors[0], vectors[2])
    assert not vectors[[1, 3]].any()
    encoder = CountingEncoder()
    again = encode_pictures(given, encoder, cache=tmp_path / "c")
    assert encoder.seen == []
    assert again.problems == content.problems
    painted(broken, "green")  # repaired, it is read, although nothing else changed
    encoder = CountingEncoder()
    repaired = encode_pictures(given, encoder, cache=tmp_path / "c")
    assert len(encoder.seen) == 1
    assert repaired.embeddings.present[3]
    [line] = repaired.problems
    assert "3 of 5 items have the same image" in line


def test_problems_are_counted_by_kind_with_an_example(tmp_path: Path):
    good = painted(tmp_path / "good.png", "red")
    (tmp_path / "empty.jpg").touch()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_text("not a picture")
    names = ["good.png", "a.jpg", "empty.jpg", "b.jpg", "gone.jpg"]
    given = [None, *(tmp_path / name for name in names), good.read_bytes()[:-30]]
    content = encode_pictures(given, CountingEncoder(), cache=tmp_path / "c")
    assert content.problems == (
        "image: not a picture: 2 of 6 pictures, e.g. a.jpg; their items go on without a picture",
        "image: empty file: 1 of 6 pictures, e.g. empty.jpg; their items go on without a picture",
        "image: no such file: 1 of 6 pictures, e.g. gone.jpg; their items go on without a picture",
        "image: corrupt or cut off: 1 of 6 pictures, e.g. number 7;"
        " their items go on without a picture",
    )
    assert content.embeddings.present.tolist() == [False, True, False, False, False, False, False]


def test_nothing_to_encode_still_has_a_shape(tmp_path: Path):
    for content in (
        encode_texts([None, " "], CountingEncoder(), cache=tmp_path),
        encode_pictures([None, b"x"], CountingEncoder(), cache=tmp_path),
    ):
        assert content.embeddings.vectors.shape == (2, 6)
        assert not content.embeddings.present.any()
    assert encode_texts([], CountingEncoder(), cache=tmp_path).embeddings.vectors.shape == (0, 6)
