"""The two readings of a history: one position an item (default), one position a token (paper)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mgrec.configs import ModelConfig
from mgrec.ids.semantic_ids import PAD, START
from mgrec.model.decoder import Context
from mgrec.model.dropout import Dropout
from mgrec.model.transformer import Block, RelativeBias


class CausalStack(nn.Module):
    """Learned places and causal blocks: the state after each position from those up to it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(config.history, config.dim) * 0.02)
        self.drop = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            Block(config.dim, config.heads, config.head_dim, config.hidden, config.dropout)
            for _ in range(config.layers)
        )
        self.norm = nn.RMSNorm(config.dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """[rows, n, dim] -> [rows, n, dim], n at most the longest history."""
        x = self.drop(x + self.places[: x.shape[1]])
        for block in self.blocks:
            x = block(x, causal=True)
        states: Tensor = self.norm(x)
        return states


class VectorReader(nn.Module):
    """A continuous embedding as the model reads it: projected, normalised."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.project = nn.Linear(width, dim, bias=False)
        self.norm = nn.RMSNorm(dim, eps=1e-6)

    def forward(self, vectors: Tensor) -> Tensor:
        """[..., width] -> [..., dim]"""
        return self.norm(self.project(vectors).float())


class ItemHistory(nn.Module):
    """One position an item, causal: every position is the context of the item after it.

    An item enters as the sum of its tokens' embeddings and, per modality, a projection of its
    continuous embedding. Each part is normalised first, so that neither drowns the other.

    Parameters
    ----------
    tokens : nn.Embedding of the vocabulary, shared with the decoder
    widths : the continuous embeddings' dimensions by modality; may be empty
    """

    def __init__(
        self, config: ModelConfig, tokens: nn.Embedding, widths: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.code_norm = nn.RMSNorm(config.dim, eps=1e-6)
        self.readers = nn.ModuleDict(
            {name: VectorReader(width, config.dim) for name, width in widths.items()}
        )
        self.taste_norm = nn.RMSNorm(config.dim, eps=1e-6)
        self.stack = CausalStack(config)

    def positions(
        self,
        ids: Tensor,  # int64 [rows, n, slots], the items' tokens
        vectors: Mapping[str, Tensor],  # [rows, n, width of the modality]
    ) -> Tensor:
        """Return [rows, n, dim], the state after each item; padding stands on the right."""
        x = self.code_norm(self.tokens(ids).sum(-2))
        for name, vector in vectors.items():
            x = x + self.readers[name](vector)
        so_far = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        taste = x.cumsum(1) / so_far  # the mean of the items up to each: lasting taste at a glance
        states: Tensor = self.stack(x + self.taste_norm(taste))
        return states

    def forward(self, ids: Tensor, vectors: Mapping[str, Tensor], lengths: Tensor) -> Context:
        """Return the context after each row's last item; lengths is int64 [rows], at least 1."""
        states = self.positions(ids, vectors)
        return Context(states[torch.arange(len(states), device=ids.device), lengths - 1])


class TokenHistory(nn.Module):
    """One position a token, bidirectional, as TIGER's T5 encoder (arXiv 2305.05065, 3.2)."""

    def __init__(self, config: ModelConfig, tokens: nn.Embedding) -> None:
        super().__init__()
        self.tokens = tokens
        self.drop = Dropout(config.dropout)
        self.relative = RelativeBias(config.heads, bidirectional=True)
        self.blocks = nn.ModuleList(
            Block(config.dim, config.heads, config.head_dim, config.hidden, config.dropout, t5=True)
            for _ in range(config.layers)
        )
        self.norm = nn.RMSNorm(config.dim, eps=1e-6)

    def forward(self, ids: Tensor, vectors: Mapping[str, Tensor], lengths: Tensor) -> Context:
        """Return the context of each row.

        Parameters
        ----------
        ids : int64 [rows, n, slots], padding on the right
        vectors, lengths : unused; this family reads tokens only, and the padding tells its end
        """
        ids = ids.flatten(1)
        rows, n = ids.shape
        mask = ids != PAD
        x = self.drop(self.tokens(ids))
        bias = self.relative(n, n).masked_fill(~mask[:, None, None, :], float("-inf"))
        for block in self.blocks:
            x = block(x, bias)
        start = self.tokens.weight[START].expand(rows, -1)
        return Context(start, self.drop(self.norm(x)), mask)


def latest(items: Tensor, most: int) -> Tensor:
    """Keep each row's last `most` items, moved to the left; int64 [rows, n], -1 for padding."""
    if items.shape[1] <= most:
        return items
    lengths = (items >= 0).sum(1, keepdim=True)
    place = torch.arange(most, device=items.device) + (lengths - most).clamp(min=0)
    return items.gather(1, place)
