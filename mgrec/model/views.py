"""Views: what an item looks like to somebody who sees its name, one modality, or its codes only."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mgrec.data.features import Embeddings
from mgrec.ids.semantic_ids import SemanticIds
from mgrec.model.dropout import Dropout

SAMPLE = 100_000  # items that the axes are measured on
FLAT = 1e-6  # of the largest variance: below it an axis is noise


class NameView(nn.Module):
    """Items by a free vector each, as a collaborative filter knows them."""

    def __init__(self, n_items: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_items, dim)
        nn.init.normal_(self.embedding.weight, std=0.02)

    @property
    def n_items(self) -> int:
        return self.embedding.num_embeddings

    def forward(self, items: Tensor) -> Tensor:
        """int64 [...] -> [..., dim], what items are predicted by."""
        found: Tensor = self.embedding(items)
        return found


class VectorView(nn.Module):
    """Items by one modality's continuous embedding, through a small net; whitened if asked for.

    An encoder's vectors spend most of their length on a few directions that tell little apart;
    whitening gives all the same say (WhitenRec, arXiv 2402.10602). The axes are saved with the
    model, so that items added later are read as those that it was trained on.
    """

    table: Tensor
    present: Tensor
    axes: Tensor | None

    def __init__(self, embeddings: Embeddings, width: int, dim: int, dropout: float) -> None:
        super().__init__()
        table, present = torch.from_numpy(embeddings.vectors), torch.from_numpy(embeddings.present)
        self.register_buffer("table", table, persistent=False)  # [items, width of the modality]
        self.register_buffer("present", present, persistent=False)  # bool [items]
        axes = whitening(table, present, width) if width else None
        self.register_buffer("axes", axes)
        read = embeddings.dim if axes is None else axes.shape[1]
        self.net = nn.Sequential(
            nn.Linear(read, dim), nn.GELU(), Dropout(dropout), nn.Linear(dim, dim)
        )
        self.absent = nn.Parameter(torch.zeros(dim))  # stands for items that have none

    @property
    def n_items(self) -> int:
        return len(self.table)

    def forward(self, items: Tensor) -> Tensor:
        """int64 [...] -> [..., dim]"""
        vectors = self.table[items]
        seen = self.net(vectors if self.axes is None else vectors @ self.axes)
        return torch.where(self.present[items][..., None], seen, self.absent.to(seen.dtype))


class CodeView(nn.Module):
    """Items by one modality's codes, where codes are all that is known of it."""

    places: Tensor

    def __init__(
        self, ids: SemanticIds, modality: str, dim: int, tokens: nn.Embedding | None
    ) -> None:
        super().__init__()
        block = list(ids.block(modality))
        self.register_buffer("places", torch.from_numpy(ids.tokens[:, block]).long(), False)
        self.tokens = nn.Embedding(ids.vocabulary, dim) if tokens is None else tokens
        if tokens is None:
            nn.init.normal_(self.tokens.weight, std=len(block) ** -0.5)

    @property
    def n_items(self) -> int:
        return len(self.places)

    def forward(self, items: Tensor) -> Tensor:
        """int64 [...] -> [..., dim]"""
        return self.tokens(self.places[items]).sum(-2)


def whitening(table: Tensor, present: Tensor, width: int) -> Tensor:
    """Return float32 [dim, at most width]: the axes along which vectors have variance one.

    Parameters
    ----------
    table : float32 [items, dim], centred
    present : bool [items], which of them count
    """
    rows = present.nonzero()[:, 0]
    drawn = table[rows[:: max(1, len(rows) // SAMPLE)]].double()
    value, axes = torch.linalg.eigh(drawn.T @ drawn / max(len(drawn), 1))
    value, axes = value.flip(0)[:width], axes.flip(1)[:, :width]
    real = value > value[0] * FLAT
    return (axes[:, real] * value[real].rsqrt()).float()
