"""A device that no machine has: its numbers lie in CPU memory, behind tensors that say otherwise.

Like a GPU's tensors, they refuse to meet those of the CPU and to become NumPy's, so that code which
forgets to move something fails on any machine. It says nothing of speed, nor of a GPU's kernels.
"""

import torch
from torch import Tag, Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "elsewhere"
MOVES = ("aten::_to_copy", "aten::to", "aten::copy_")  # what may look at two devices at once
NUMBERS = ("aten::where", "aten::masked_fill", "aten::masked_fill_", "aten::fill_")
INDEXING = ("aten::index", "aten::index_put_", "aten::_index_put_impl_")  # by places on the CPU


class _Module(backend_registration._DummyBackendModule):
    """What torch asks of a device."""

    def get_amp_supported_dtype(self):
        return [torch.float32]


backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
DEVICE = torch.device(NAME, 0)


class There(Tensor):
    """A tensor that is elsewhere."""

    @staticmethod
    def __new__(cls, held):
        return Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
            requires_grad=held.requires_grad,
        )

    def __init__(self, held):
        self.held = held

    def __tensor_flatten__(self):
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(parts, _about, _size, _stride):
        return There(parts["held"])

    @classmethod
    def __torch_dispatch__(cls, func, _types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    def tolist(self):
        return self.held.tolist()

    def numpy(self):
        raise TypeError("found a tensor that is elsewhere, expected one on the CPU")


class Elsewhere(TorchDispatchMode):
    """While it is on, tensors can be made on the device, and be moved there."""

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _run(func, args, kwargs):
    name, wanted = func._schema.name, kwargs.get("device")
    given = [part for part in tree_leaves((args, kwargs)) if isinstance(part, Tensor)]
    away = [isinstance(part, There) for part in given]
    if any(away) and name not in MOVES:
        _refuse_strangers(func, args, given)
    if wanted is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    with torch.inference_mode(False), torch.no_grad():  # such tensors take no subclass
        out = func(*tree_map(_held, args), **tree_map(_held, kwargs))
    if name == "aten::copy_":
        stays = away[0]
    else:
        stays = any(away) if wanted is None else torch.device(wanted).type == NAME
    if not stays:
        return out
    known = {id(part.held): part for part in given if isinstance(part, There)}  # changed in place

    def told(part):
        if type(part) is not Tensor:
            return part
        return known[id(part)] if id(part) in known else There(part)

    with torch.inference_mode(False):
        return tree_map(told, out)


def _refuse_strangers(func, args, given):
    """Raise where a GPU would: of the CPU's tensors it takes numbers, and places to index by."""
    name = func._schema.name
    numbers = Tag.pointwise in func.tags or name in (*INDEXING, *NUMBERS)
    listed = [id(part) for part in tree_leaves(args[1])] if name in INDEXING else []
    for place, part in enumerate(given):
        changed = place == 0 and func._schema.is_mutable
        number = numbers and part.dim() == 0 and not changed
        if not (isinstance(part, There) or number or id(part) in listed):
            raise RuntimeError(f"{func}: found tensors on two devices")


def _held(part):
    return part.held if isinstance(part, There) else part


def _empty(size, stride, dtype=None, **_options):
    """Where lists that index are put, which no mode sees."""
    return There(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source, goal, *_options):
    goal.held.copy_(_held(source))
    return goal


_LIBRARY = torch.library.Library("aten", "IMPL")
_LIBRARY.impl("empty_strided", _empty, "PrivateUse1")
_LIBRARY.impl("_copy_from", _copy_from, "PrivateUse1")
