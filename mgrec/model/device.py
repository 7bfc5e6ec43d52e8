"""Where a model's numbers are: on the CPU, or on a GPU while it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn

from mgrec.errors import RecipeError


def device_of(name: str) -> torch.device:
    """Return the device that a recipe's `training.device` names.

    Raises
    ------
    RecipeError
        If torch knows no such device, or finds none here.
    """
    try:
        device = torch.device(name)
        module = torch.get_device_module(device)
    except RuntimeError:
        raise RecipeError(
            f"training.device: found '{name}', expected cpu, cuda, or what else torch trains on"
        ) from None
    there = module.device_count() if module.is_available() else 0
    if (device.index or 0) >= there:
        raise RecipeError(
            f"training.device: found '{name}', but torch {torch.__version__} sees {there}"
            f" {device.type} devices here; expected one that is here, such as cpu"
            " (-s training.device=cpu)"
        )
    return device


def where(module: nn.Module) -> torch.device:
    """Return the device that a module is on."""
    return next(chain(module.parameters(), module.buffers())).device


@contextmanager
def own_random_state() -> Iterator[None]:
    """Restore torch's random state, of the CPU and of GPUs in use, at the end."""
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    with torch.random.fork_rng(range(torch.cuda.device_count()) if cuda else []):
        yield
