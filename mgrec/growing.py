"""A catalogue that grows and shrinks, and the trained model over it: nothing is trained."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgrec.catalogue import Catalogue
from mgrec.configs import is_table, shown_in
from mgrec.data.blocks import zeros
from mgrec.data.features import Codes, Embeddings
from mgrec.data.rows import joined_rows
from mgrec.errors import DataError
from mgrec.ids.semantic_ids import extend
from mgrec.ids.trie import Trie
from mgrec.model.generator import Generator
from mgrec.model.inheritance import inherited
from mgrec.model.likeness import joined
from mgrec.model.neighbours import Table
from mgrec.newcomers import Newcomers

NEIGHBOURS = 10  # that stand for an item without a past
NAMES = "experts.of.id.view.embedding.weight"  # of a model's state: a free vector an item


def grown(catalogue: Catalogue, new: Newcomers) -> Catalogue:
    """Append new items, and list again those that were removed before.

    An item that returns keeps its codes, vectors and ID; its columns become those of the new row,
    and null where the new row has no value.

    Raises
    ------
    DataError
        If an item is listed already, a column has another type than in the catalogue, or more items
        share their codes than the disambiguation code can distinguish.
    """
    back = catalogue.index_of(new.items["item_id"])
    there = np.flatnonzero((back >= 0) & catalogue.listed[back])
    if len(there):
        raise DataError(f"item {new.items['item_id'][int(there[0])]!r}: in the catalogue already")
    fresh = np.flatnonzero(back < 0)
    returning = np.flatnonzero(back >= 0)
    rows = np.arange(catalogue.n_items)
    rows[back[returning]] = catalogue.n_items + returning
    items = joined_rows([catalogue.items, new.items])[
        np.concatenate([rows, catalogue.n_items + fresh])
    ]
    n = len(items)
    removed = _padded(catalogue.removed, n)
    removed[back[returning]] = False
    added = _padded(catalogue.added, n)
    added[catalogue.n_items :] = True
    codes = {name: new.codes[name].select(fresh) for name in catalogue.codes}
    return replace(
        catalogue,
        items=items,
        root=catalogue.root or new.root,
        vectors={
            name: _joined(have, new.vectors[name].select(fresh))
            for name, have in catalogue.vectors.items()
        },
        codes={name: _joined_codes(have, codes[name]) for name, have in catalogue.codes.items()},
        ids=extend(catalogue.ids, codes) if len(fresh) else catalogue.ids,
        problems=(*catalogue.problems, *new.problems),
        removed=removed,
        added=added,
    )


def shrunk(catalogue: Catalogue, rows: NDArray[np.int64]) -> Catalogue:
    """Take items off the list; their rows stay, since histories hold them.

    They are masked in the search and not taken out of the trie: so nobody else's probability
    changes, and an item that comes back finds its place.
    """
    removed = _padded(catalogue.removed, catalogue.n_items)
    removed[rows] = True
    return replace(catalogue, removed=removed)


def model_over(
    model: Generator, catalogue: Catalogue, counts: NDArray[np.int64], new_items: float | None
) -> Generator:
    """Return a trained model over a catalogue that has grown; weights are shared, not copied.

    Parameters
    ----------
    counts : int64 [items], how often training saw each
    new_items : see `SearchConfig`
    """
    same = catalogue.ids is model.ids
    trie = model.trie if same else Trie.of(catalogue.ids)
    state = model.state_dict()
    experts = model.config.experts
    if not same and {"id", "linear"} & set(experts.views):
        trained = int((~_padded(catalogue.added, catalogue.n_items)).sum())
        like = _stand_ins(catalogue, trained, counts)
        if NAMES in state:
            state[NAMES] = _names(state[NAMES][:trained], like)
    for view in filter(is_table, () if same else experts.views):
        prefix = f"experts.of.{view}."
        table = Table(*(state[prefix + field.name] for field in fields(Table)))
        if (modality := shown_in(view)) is None:
            table = inherited(table, trained, like, most=experts.neighbours.most)
        else:
            table = joined(table, catalogue.vectors[modality], most=experts.neighbours.most)
        state |= {prefix + name: part for name, part in vars(table).items()}
    with torch.device("meta"):
        made = Generator(model.config, catalogue.ids, catalogue.vectors, trie)
    made.load_state_dict(state, assign=True)
    made.share(catalogue.added, counts, new_items)
    return made.eval()


def _stand_ins(catalogue: Catalogue, trained: int, counts: NDArray[np.int64]) -> Tensor:
    """Return int64 [came, at most NEIGHBOURS]: which items stand for each that has come, -1 behind.

    They are those of the log whose embeddings are nearest by cosine, all modalities weighing the
    same, and whose cosine is above 0. As none of those that came is asked, it does not
    matter who came in together with whom.

    Parameters
    ----------
    trained : how many items there were in training; they stand before the others
    counts : int64 [at least trained], how often training saw each
    """
    views = [torch.from_numpy(np.asarray(e.vectors)) for e in catalogue.vectors.values()]
    known = torch.from_numpy(np.flatnonzero(counts[:trained]))
    if not views or not len(known):
        return torch.full((catalogue.n_items - trained, 1), -1)
    # Each view by its own length, so that all weigh the same; one that is missing is zero.
    view = torch.cat([torch.nn.functional.normalize(v, dim=1) for v in views], 1)
    past = view[known].T
    parts = []
    for some in view[trained:].split(1024):
        cosine, nearest = (some @ past).topk(min(NEIGHBOURS, len(known)), dim=1)
        parts.append(known[nearest].masked_fill(cosine <= 0, -1))
    return torch.cat(parts)


def _names(known: Tensor, like: Tensor) -> Tensor:
    """Append a vector for each item that has come, [items, dim]: the mean of those that stand for
    it, or of all where none does."""
    real = (like >= 0)[..., None]
    mean = (known[like.clamp(min=0)] * real).sum(1) / real.sum(1).clamp(min=1)
    return torch.cat([known, torch.where(real.any(1), mean, known.mean(0))])


def _padded(mask: NDArray[np.bool_] | None, n: int) -> NDArray[np.bool_]:
    """Copy a mask to [n], False where it was shorter."""
    out = np.zeros(n, bool)
    if mask is not None:
        out[: len(mask)] = mask
    return out


def _joined(have: Embeddings, more: Embeddings) -> Embeddings:
    vectors = zeros(len(have.vectors) + len(more.vectors), have.dim)
    vectors[: len(have.vectors)] = have.vectors
    vectors[len(have.vectors) :] = more.vectors
    return Embeddings(vectors, np.concatenate([have.present, more.present]))


def _joined_codes(have: Codes, more: Codes) -> Codes:
    codes = np.concatenate([have.codes, more.codes])
    return Codes(codes, np.concatenate([have.present, more.present]), have.sizes)
