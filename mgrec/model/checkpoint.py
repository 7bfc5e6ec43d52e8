"""Where an interrupted training stood, in one file that no kill can leave half written.

Its use::

    checkpoint = Checkpoint(folder, owner(recipe, data.fingerprint), "training")
    saved = checkpoint.load()
    if saved is not None:
        state = unflatten(*saved)  # {"model": ..., "optimizer": ..., "random": ..., "step": 120}
    ...
    checkpoint.save(*flatten({"model": model.state_dict(), "optimizer": optimizer.state_dict()}))
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mgrec.folders import new_file
from mgrec.progress import say
from mgrec.recipe import Recipe

FORMAT = 1

_KEY = "checkpoint"  # of the metadata: one only, since safetensors writes several in no fixed order


def owner(recipe: Recipe, fingerprint: str, *more: str) -> str:
    """Return what tells this run from every other: a run may resume from its own checkpoints only.

    Parameters
    ----------
    fingerprint : str
        Of the data.
    more : str
        Whatever else decides the run, such as the artifact that it continues.
    """
    parts = [FORMAT, version("torch"), recipe.model_dump(mode="json"), fingerprint, *more]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """The last saved state of one run, in a folder that several runs may share.

    Attributes
    ----------
    folder : Path
        Where the file lies; made when it is needed.
    owner : str
        See `owner`. Its beginning names the file, so that no run overwrites another's.
    stage : str
        Which part of the run it is of; each has a file of its own.
    """

    folder: Path
    owner: str
    stage: str = "training"

    @property
    def path(self) -> Path:
        return self.folder / f"{self.stage}-{_ending(self.owner)}"

    @property
    def _whose(self) -> dict[str, str]:
        return {"owner": self.owner, "stage": self.stage}

    def save(self, tensors: Mapping[str, Tensor], document: Any) -> None:
        """Replace the checkpoint; a kill at any moment leaves the old one or the new one.

        Parameters
        ----------
        tensors : mapping
            Of any dtype, shape and device.
        document : JSON
            Whatever else there is to remember; infinities and NaN are kept.

        Raises
        ------
        StorageError
            If it cannot be written, as when the disk is full.
        """
        # Cloned because tied weights share storage, which the format refuses.
        plain = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        record = {"format": FORMAT, **self._whose, "document": document}
        record = json.loads(json.dumps(record))  # so that the digest is of what will be read
        record["digest"] = _digest(plain, record)
        with new_file(self.path) as draft:
            save_file(plain, draft, metadata={_KEY: json.dumps(record)})

    def load(self) -> tuple[dict[str, Tensor], Any] | None:
        """Return the tensors, on the CPU, and the document; None where there is none to resume.

        A checkpoint that is corrupt, or that another run left in the folder, is passed by, and one
        printed line says so: that stage then begins anew.
        """
        if not self.path.is_file():
            if any(self.folder.glob(f"{self.stage}-*.safetensors")):
                say(
                    f"{self.folder}: its {self.stage} checkpoint is of another recipe, other data,"
                    " other codes or another torch; this run does not resume from it"
                )
            return None
        try:
            with safe_open(self.path, framework="pt") as opened:
                record = json.loads((opened.metadata() or {})[_KEY])
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            digest = record.pop("digest")
            sound = digest == _digest(tensors, record) and record.items() >= self._whose.items()
        except (OSError, SafetensorError, ValueError, KeyError, AttributeError):
            sound = False
        if not sound:
            say(f"{self.path}: the checkpoint is corrupt; its {self.stage} begins anew")
            return None
        return tensors, record["document"]


def remove(folder: Path, owner: str) -> None:
    """Delete a run's checkpoints when it has ended, and their folder if that is then empty."""
    for path in folder.glob(f"*-{_ending(owner)}"):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def flatten(state: Any) -> tuple[dict[str, Tensor], Any]:
    """Take a nested state apart into named tensors and a JSON document.

    Parameters
    ----------
    state : nested dicts, lists and tuples
        Of tensors, NumPy arrays, numbers, strings, bools and None: the ``state_dict`` of a module,
        an optimizer or a scheduler, the states of random generators, or a dict of them all.

    Raises
    ------
    TypeError
        If anything else is in it, since nothing here is pickled.
    """
    tensors: dict[str, Tensor] = {}

    def keep(tensor: Tensor, name: str) -> str:
        while name in tensors:  # {"a.b": ...} beside {"a": {"b": ...}}
            name += "'"
        tensors[name] = tensor
        return name

    def take(node: Any, name: str) -> Any:
        if isinstance(node, Tensor):
            return {"tensor": keep(node, name)}
        if isinstance(node, np.ndarray):
            return {"array": keep(torch.from_numpy(np.array(node)), name)}
        if isinstance(node, Mapping) and all(isinstance(key, str | int) for key in node):
            # As pairs, since the keys of an optimizer's state are integers.
            return {"dict": [[key, take(part, f"{name}.{key}")] for key, part in node.items()]}
        if isinstance(node, list | tuple):
            kind = "list" if isinstance(node, list) else "tuple"
            return {kind: [take(part, f"{name}.{place}") for place, part in enumerate(node)]}
        if node is None or isinstance(node, bool | int | float | str):
            return node
        raise TypeError(f"{name}: found a {type(node).__name__}, which no checkpoint can hold")

    document = take(state, "state")
    return tensors, document


def unflatten(tensors: Mapping[str, Tensor], document: Any) -> Any:
    """Put together again what `flatten` took apart; dicts keep their order and the keys' types."""
    if not isinstance(document, dict):
        return document
    ((kind, value),) = document.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "array":
        return tensors[value].numpy()
    if kind == "dict":
        return {key: unflatten(tensors, part) for key, part in value}
    parts = [unflatten(tensors, part) for part in value]
    return parts if kind == "list" else tuple(parts)


def _ending(owner: str) -> str:
    """Return how the names of all files of a run end."""
    return f"{owner[:16]}.safetensors"


def _digest(tensors: Mapping[str, Tensor], record: Any) -> str:
    """Return one SHA-256 over every name, dtype, shape and byte, and over the record."""
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}\n".encode())
        # As bytes, because NumPy knows no bfloat16; flat, because a 0-d tensor has no view.
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
