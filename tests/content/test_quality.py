"""Content that says little: words that an encoder does not know, and what many items share."""

import numpy as np
import polars as pl
import pytest
from PIL import Image

from mgrec import Dataset, Recipe
from mgrec.content.encoders import encode_pictures, encode_texts, text_encoder
from mgrec.data.arrays import different
from mgrec.data.features import Codes, Embeddings
from mgrec.ids.health import health
from mgrec.study.check import check, content_warnings
from tests.content.encoder import CountingEncoder

KHMER = ["អាវយឺត", "ខោខូវប៊យ", "ស្បែកជើង", "មួក", "កាបូប"]
PLAIN = ["a red shoe", "the blue hat", "some green bag", "my old watch", "no new belt"]


def dataset(texts=None, images=None, root=None):
    columns = {"text": texts} if texts else {"image": images}
    items = pl.DataFrame({"item_id": range(len(texts or images)), **columns})
    return Dataset.from_frames(
        items, pl.DataFrame({"user_id": [1] * 4, "item_id": [0, 1, 2, 0]}), root=root
    )


@pytest.mark.parametrize(
    ("texts", "n"),
    [
        (KHMER, 5),
        (["ሸሚዝ", "ሱሪ", "ጫማ", "ኮፍያ", "ቦርሳ"], 5),
        (list("👕👖👟🧢👜"), 5),
        ([*KHMER[:2], *PLAIN], 2),
        ([f"{word} និង shoe" for word in KHMER], 5),
        (PLAIN, 0),
        (["Привет мир", "日本語のテキスト", "Grüße aus Köln", "مرحبا"], 0),
    ],
)
def test_texts_in_unknown_words_are_counted_before_and_at_encoding(tmp_path, texts, n):
    encoder = text_encoder()
    before = content_warnings(dataset(texts), Recipe.named("text"))
    after = encode_texts(texts, encoder, cache=tmp_path).problems
    assert before == after
    if not n:
        assert after == ()
        return
    [line] = after
    assert f"text: {n} of {len(texts)} texts are in words that the text encoder" in line
    assert "content.text_encoder=" in line
    assert "multilingual" in line


def test_check_says_what_is_wrong_with_the_content():
    data = dataset(KHMER)
    recipe = Recipe.named("text")
    found = check(data, recipe.split, content=content_warnings(data, recipe))
    assert "5 of 5 texts" in found.warnings[-1]


class Blind(CountingEncoder):
    """Gives everything the same vector."""

    def vector(self, content):
        return np.ones(self.dim, np.float32)


def test_different_contents_with_one_vector_are_warned_of(tmp_path):
    [line] = encode_texts(PLAIN, Blind(), cache=tmp_path).problems
    assert "text: 5 different contents have the same vector" in line


def test_a_text_that_many_items_share_is_warned_of(tmp_path):
    [line] = encode_texts([*["n/a"] * 4, *PLAIN], CountingEncoder(), cache=tmp_path).problems
    assert "text: 4 of 9 items have the same text ('n/a')" in line
    assert encode_texts(["n/a", *PLAIN], CountingEncoder(), cache=tmp_path).problems == ()


def test_a_placeholder_picture_is_warned_of(tmp_path):
    for n in range(4):
        Image.new("RGB", (8, 8), (n, 90, 9)).save(tmp_path / f"{n}.png")
        (tmp_path / f"same-{n}.png").write_bytes((tmp_path / "0.png").read_bytes())
    names = [f"{n}.png" for n in range(4)] + [f"same-{n}.png" for n in range(4)]
    pictures = [tmp_path / name for name in names]
    [line] = encode_pictures(pictures, CountingEncoder(), cache=tmp_path / "cache").problems
    assert "image: 5 of 8 items have the same image (0.png)" in line
    data = dataset(images=names, root=tmp_path)
    assert content_warnings(data, Recipe.named("image")) == (line,)


def test_codes_of_equal_vectors_are_not_blamed_on_the_quantiser():
    codes = Codes(np.zeros((60, 1), np.int32), np.ones(60, bool), (8,))
    same = Embeddings(np.ones((60, 4), np.float32), np.ones(60, bool))
    level, whole = health(codes, "text", different([same])).in_words()
    assert "only 1 distinct vectors among 60 items" in level
    assert "the content or its encoder does not distinguish them" in whole
    assert "try" not in level + whole
    _, blamed = health(codes, "text", 60).in_words()
    assert "try another level" in blamed


def test_different_vectors_are_counted_over_modalities():
    one = Embeddings(
        np.array([[1, 0], [1, 0], [0, 1], [0, 0]], np.float32), np.array([1, 1, 1, 0], bool)
    )
    two = Embeddings(np.array([[1], [2], [1], [1]], np.float32), np.ones(4, bool))
    assert different([one]) == 2
    assert different([one, two]) == 4
