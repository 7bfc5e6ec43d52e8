"""Where a model's numbers are: on the CPU, or on a GPU while it is trained."""

from __future__ import annotations

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
    found = module.device_count() if module.is_available() else 0
    if (device.index or 0) >= found:
        raise RecipeError(
            f"training.device: found '{name}', but torch {torch.__version__} sees {found} of them"
            " here; expected cpu, or another build of torch"
        )
    return device


def where(module: nn.Module) -> torch.device:
    """Return the device that a module is on."""
    return next(iter((*module.parameters(), *module.buffers()))).device
