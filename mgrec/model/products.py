"""Products with a matrix of weights, by the faster of the two libraries that torch brings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WORTH = 1 << 24  # multiply-adds; below, oneDNN saves nothing
_SCHEMA = (  # not documented: it is what torch.compile makes of linear layers
    "mkldnn::_linear_pointwise(Tensor X, Tensor W, Tensor? B, str attr, Scalar?[] scalars,"
    " str? algorithm) -> Tensor Y"
)
_recurring = ContextVar("recurring", default=False)


@contextmanager
def recurring_shapes(yes: bool = True) -> Iterator[None]:
    """Say whether products have shapes that will be met again, as those of full beams have.

    In float32 on a CPU torch multiplies by its BLAS. oneDNN, which it has for bfloat16, is faster
    at large products on the processor that we have (AMD Zen 4): a search takes 3 to 7% less time.
    But it compiles a kernel for every new shape, which takes a millisecond, and gives no gradients.
    """
    before = _recurring.set(yes)
    try:
        yield
    finally:
        _recurring.reset(before)


def exact_product(a: Tensor, b: Tensor) -> Tensor:
    """Return a @ b.T in float32, whatever the surrounding precision: logits need their digits."""
    with torch.autocast(a.device.type, enabled=False):
        return _product(a.float(), b.float())


class Projection(nn.Linear):
    """A linear map without a bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return _product(x, self.weight)


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """[..., n], [m, n] -> [..., m]"""
    if _recurring.get() and _onednn_fits(x, weight):
        made: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return made
    return F.linear(x, weight)


def _onednn_fits(x: Tensor, weight: Tensor) -> bool:
    return (
        x.numel() * len(weight) >= WORTH
        and torch.is_inference_mode_enabled()
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and bool(torch.backends.mkldnn.enabled)
        and _known()
    )


@cache
def _known() -> bool:
    operation = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return (
        torch.backends.mkldnn.is_available()
        and operation is not None
        and str(operation.default._schema) == _SCHEMA
    )
