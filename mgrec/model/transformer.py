"""The one building block of every model here: a pre-norm transformer layer."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgrec.model.dropout import Dropout
from mgrec.model.products import Projection


class Attention(nn.Module):
    """Multi-head attention with its projections; no biases, as in T5 (arXiv 1910.10683).

    `scaled` divides the scores by the root of the head's size; T5 does not.
    """

    def __init__(self, dim: int, heads: int, head_dim: int, dropout: float, scaled: bool) -> None:
        super().__init__()
        self.heads, self.head_dim, self.dropout = heads, head_dim, dropout
        self.scale = head_dim**-0.5 if scaled else 1.0
        inner = heads * head_dim
        self.query = Projection(dim, inner)
        self.key_value = Projection(dim, 2 * inner)
        self.out = Projection(inner, dim)
        with torch.no_grad():  # an unscaled query starts as small as scaling would make it
            self.query.weight.normal_(std=(dim * (1 if scaled else head_dim)) ** -0.5)
            self.key_value.weight.normal_(std=dim**-0.5)
            self.out.weight.normal_(std=inner**-0.5)

    def queries(self, x: Tensor) -> Tensor:
        """[..., n, dim] -> [..., heads, n, head_dim]"""
        return self.query(x).unflatten(-1, (self.heads, self.head_dim)).transpose(-2, -3)

    def keys_values(self, x: Tensor) -> Tensor:
        """[..., n, dim] -> [2, ..., heads, n, head_dim]"""
        both = self.key_value(x).unflatten(-1, (2, self.heads, self.head_dim))
        return both.movedim(-3, 0).transpose(-2, -3)

    def attend(
        self, queries: Tensor, keys_values: Tensor, bias: Tensor | None, causal: bool
    ) -> Tensor:
        """Return [..., n, dim]; `bias` [..., n, m] is added to the scores, a bool one masks."""
        keys, values = keys_values.unbind(0)
        if bias is not None and bias.dtype != torch.bool:
            bias = bias.to(queries.dtype)
        drop = self.dropout if self.training else 0.0
        # The fused kernel is 2 to 5 times slower than two products for bfloat16 on CPUs.
        slow = queries.device.type == "cpu" and queries.dtype == torch.bfloat16
        attention = _two_products if slow else F.scaled_dot_product_attention
        mixed = attention(
            queries,
            keys,
            values,
            attn_mask=bias,
            dropout_p=drop,
            is_causal=causal,
            scale=self.scale,
        )
        return self.out(mixed.transpose(-2, -3).flatten(-2))


def _two_products(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    attn_mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float,
) -> Tensor:
    """What `scaled_dot_product_attention` computes, spelled out."""
    scores = queries @ keys.transpose(-1, -2) * scale
    if is_causal:
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(ahead, float("-inf"))
    elif attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask
    return F.dropout(scores.softmax(-1), dropout_p, dropout_p > 0) @ values


class Block(nn.Module):
    """Self-attention, optionally attention to a memory, and a feed-forward net, each residual."""

    def __init__(
        self,
        dim: int,
        heads: int,
        head_dim: int,
        hidden: int,
        dropout: float,
        *,
        cross: bool = False,
        t5: bool = False,
    ) -> None:
        super().__init__()
        # T5 drops attention weights too; on the default's short rows it only cost time.
        of_weights = dropout if t5 else 0.0
        self.drop = Dropout(dropout)
        self.norm = nn.RMSNorm(dim, eps=1e-6)
        self.attention = Attention(dim, heads, head_dim, of_weights, scaled=not t5)
        if cross:
            self.cross_norm = nn.RMSNorm(dim, eps=1e-6)
            self.cross = Attention(dim, heads, head_dim, of_weights, scaled=not t5)
        self.feed_norm = nn.RMSNorm(dim, eps=1e-6)
        self.widen = Projection(dim, hidden)
        self.narrow = Projection(hidden, dim)
        self.activation = F.relu_ if t5 else F.gelu
        with torch.no_grad():
            self.widen.weight.normal_(std=dim**-0.5)
            self.narrow.weight.normal_(std=hidden**-0.5)

    def feed(self, x: Tensor) -> Tensor:
        """Return x with the feed-forward net's part added; [..., dim]."""
        wide = self.drop(self.activation(self.widen(self.feed_norm(x))))
        return x + self.drop(self.narrow(wide))

    def look(self, x: Tensor, memory: Tensor, bias: Tensor | None) -> Tensor:
        """Return x with what it takes from the memory added.

        Parameters
        ----------
        x : [rows, n, dim]
        memory : [2, rows, heads, m, head_dim], from ``self.cross.keys_values``
        bias : [rows, 1, 1, m] or None
        """
        queries = self.cross.queries(self.cross_norm(x))
        return x + self.drop(self.cross.attend(queries, memory, bias, causal=False))

    def mix(self, x: Tensor, bias: Tensor | None, causal: bool) -> Tensor:
        """Return x [rows, n, dim] with what its places take from each other added.

        Parameters
        ----------
        bias : [..., n, n] or None
        causal : whether a place takes from itself and those before it only
        """
        y = self.norm(x)
        queries, pairs = self.attention.queries(y), self.attention.keys_values(y)
        return x + self.drop(self.attention.attend(queries, pairs, bias, causal))

    def forward(self, x: Tensor, bias: Tensor | None = None, causal: bool = False) -> Tensor:
        """[rows, n, dim] -> the same; without a memory."""
        return self.feed(self.mix(x, bias, causal))


class RelativeBias(nn.Module):
    """T5's learned bias by bucketed distance, one for a whole stack (arXiv 1910.10683, 2.1)."""

    def __init__(self, heads: int, bidirectional: bool, buckets: int = 32, far: int = 128) -> None:
        super().__init__()
        self.bidirectional, self.buckets, self.far = bidirectional, buckets, far
        self.table = nn.Embedding(buckets, heads)
        nn.init.normal_(self.table.weight, std=0.1)

    def forward(self, n: int, m: int) -> Tensor:
        """Return [heads, n, m]: n queries at the end of m keys."""
        device = self.table.weight.device
        query = torch.arange(m - n, m, device=device)[:, None]
        distance = torch.arange(m, device=device)[None, :] - query
        return self.table(self._bucket(distance)).permute(2, 0, 1)

    def _bucket(self, distance: Tensor) -> Tensor:
        """Signed distances -> buckets, int64 [n, m]: exact when near, logarithmic after."""
        buckets, offset = self.buckets, torch.zeros_like(distance)
        if self.bidirectional:
            buckets //= 2
            offset = (distance > 0) * buckets
            distance = distance.abs()
        else:
            distance = (-distance).clamp(min=0)
        exact = buckets // 2
        ratio = torch.log(distance.clamp(min=1) / exact) / math.log(self.far / exact)
        coarse = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
        return offset + torch.where(distance < exact, distance, coarse)
