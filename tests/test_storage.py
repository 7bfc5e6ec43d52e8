"""A saved recommender's trie: mapped from the artifact, not copied and not built again."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mgrec import Recommender
from mgrec.errors import ArtifactError
from mgrec.ids.trie import Trie
from mgrec.storage import contents_of, recommender_of


def assert_same(found: Trie, expected: Trie) -> None:
    for (name, array), (other, wanted) in zip(
        found.state().items(), expected.state().items(), strict=True
    ):
        assert name == other
        assert array.dtype == wanted.dtype
        assert torch.equal(array, wanted)


def mapped_file(tensor: torch.Tensor) -> str:
    """Return which file the tensor's memory is a map of; empty for memory of the process's own."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, _, _, _, *name = line.split(maxsplit=5)
        low, high = (int(end, 16) for end in span.split("-"))
        if low <= tensor.data_ptr() < high:
            return name[0] if name else ""
    return ""


def test_a_loaded_trie_is_the_saved_one(trained, tmp_path):
    trained.save(tmp_path / "RUN")
    loaded = Recommender.load(tmp_path / "RUN")
    assert_same(loaded.model.trie, trained.model.trie)
    assert_same(loaded.model.trie, Trie.of(loaded.catalogue.ids))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists its maps")
def test_a_loaded_trie_is_a_map_of_the_artifact(trained, tmp_path):
    trained.save(tmp_path / "RUN")
    trie = Recommender.load(tmp_path / "RUN").model.trie
    for array in trie.state().values():
        assert Path(mapped_file(array)).name == "trie.safetensors"
    assert mapped_file(torch.zeros(10)) != mapped_file(trie.item_of_leaf)


def test_a_mapped_trie_outlives_its_artifact(trained, tmp_path):
    trained.save(tmp_path / "RUN")
    loaded = Recommender.load(tmp_path / "RUN")
    loaded.save(tmp_path / "RUN")  # replaces the very files that it maps
    assert_same(loaded.model.trie, trained.model.trie)
    assert_same(Recommender.load(tmp_path / "RUN").model.trie, trained.model.trie)


def test_an_artifact_without_a_trie_has_it_built(trained):
    contents = contents_of(trained)
    old = replace(contents, tensors={"model": contents.tensors["model"]})
    assert_same(recommender_of(old).model.trie, trained.model.trie)


def test_a_damaged_trie_is_refused(trained, tmp_path):
    trained.save(tmp_path / "RUN")
    file = tmp_path / "RUN" / "trie.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"trie\.safetensors: corrupt"):
        Recommender.load(tmp_path / "RUN")


def test_weights_of_another_mgrec_are_refused_in_words(trained):
    contents = contents_of(trained)
    weights = dict(contents.tensors["model"])
    weights["experts.gone.weight"] = weights.pop("experts.weight")
    other = replace(contents, tensors={**contents.tensors, "model": weights})
    with pytest.raises(ArtifactError, match=r"'experts\.gone\.weight'.*fit it again"):
        recommender_of(other)
