"""The token decoder: generates an item's codes, one slot after the other, from a context."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from mgrec.configs import ModelConfig
from mgrec.model.dropout import Dropout
from mgrec.model.transformer import Block, RelativeBias


@dataclass(frozen=True)
class Context:
    """What an item is generated from, one row a history.

    Attributes
    ----------
    start : [rows, dim], takes the place of the token before the first
    memory : [rows, m, dim] or None, attended to by every slot
    mask : bool [rows, m] or None, which of the memory is real
    owner : int64 [rows], ascending, or None: where `spread`, whose memory each row attends to
    views : an expert, [rows, ...], or None: what each made of the history
    seen : int64 [rows, n] or None, all items of the history, -1 for padding, including those
        before the encoder's window
    """

    start: Tensor
    memory: Tensor | None = None
    mask: Tensor | None = None
    owner: Tensor | None = None
    views: tuple[Tensor, ...] | None = None
    seen: Tensor | None = None

    def spread(self, owner: Tensor) -> Context:
        """Return a row for each of ``owner``, int64 [n], ascending: as many items are generated
        from one history, whose memory is not copied. Views and seen items are left out."""
        if self.memory is None:
            return Context(self.start[owner])
        return Context(self.start[owner], self.memory, self.mask, owner)

    def select(self, rows: Tensor) -> Context:
        """Return some of the rows, in the order named; of a spread context, in ascending order."""
        if self.owner is not None:
            assert self.memory is not None
            assert self.mask is not None
            owner = self.owner[rows]
            few = slice(int(owner[0]), int(owner[-1]) + 1)
            memory, mask = self.memory[few], self.mask[few]
            return Context(self.start[rows], memory, mask, owner - few.start)
        given = {name: part[rows] for name, part in vars(self).items() if isinstance(part, Tensor)}
        views = None if self.views is None else tuple(view[rows] for view in self.views)
        return Context(**given, views=views)

    @property
    def rows(self) -> int:
        return self.start.shape[0]

    @property
    def memory_bias(self) -> Tensor | None:
        """bool [rows, 1, 1, m]"""
        return None if self.mask is None else self.mask[:, None, None, :]


@dataclass
class DecodeState:
    """Keys and values of the slots decoded so far; beams point at their ancestors' rows.

    Nothing is copied when beams change their order: a step's rows stay where they were computed,
    and `ancestors[t][r]` says which row of step t the present row r descends from.
    """

    context: Context
    cross: list[Tensor] = field(default_factory=list)  # a layer: [2, users, heads, m, head_dim]
    history: list[list[Tensor]] = field(default_factory=list)  # step, layer: [rows, 2 * inner]
    ancestors: list[Tensor] = field(default_factory=list)  # step before the present: int64 [rows]

    def follow(self, parents: Tensor) -> None:
        """Make the present rows the children of ``parents``, int64 [new rows]."""
        self.ancestors = [rows[parents] for rows in self.ancestors]
        self.ancestors.append(parents)


class TokenDecoder(nn.Module):
    """A causal stack over an ID's slots, fed with a context and the tokens before.

    Parameters
    ----------
    slots : number of generated slots
    cross : whether contexts carry a memory
    t5 : relative positions and unscaled attention, as TIGER's T5; else a learned vector a slot
    """

    def __init__(self, config: ModelConfig, slots: int, *, cross: bool, t5: bool) -> None:
        super().__init__()
        self.slots = slots
        self.blocks = nn.ModuleList(
            Block(
                config.dim,
                config.heads,
                config.head_dim,
                config.hidden,
                config.dropout,
                cross=cross,
                t5=t5,
            )
            for _ in range(config.decoder_layers)
        )
        self.norm = nn.RMSNorm(config.dim, eps=1e-6)
        self.drop = Dropout(config.dropout if t5 else 0.0)  # T5 drops what goes in and comes out
        self.relative = RelativeBias(config.heads, bidirectional=False) if t5 else None
        self.places = None if t5 else nn.Parameter(torch.zeros(slots, config.dim))

    @property
    def layers(self) -> Iterable[Block]:
        """The blocks, as what they are."""
        return cast(Iterable[Block], self.blocks)

    def forward(self, context: Context, before: Tensor, first: int = 0) -> Tensor:
        """Return the states from which slots ``first .. first + n`` are predicted.

        Parameters
        ----------
        before : [rows, n, dim], embeddings of the tokens in the slots but the last
        first : which slot the context's start predicts

        Returns
        -------
        [rows, n + 1, dim]
        """
        x = self.drop(torch.cat([context.start[:, None], before], dim=1))
        n = x.shape[1]
        bias = None
        if self.places is not None:
            x = x + self.places[first : first + n]
        if self.relative is not None:
            ahead = torch.ones(n, n, dtype=torch.bool, device=x.device).triu(1)
            bias = self.relative(n, n).masked_fill(ahead, float("-inf"))
        for block in self.layers:
            x = block.mix(x, bias, bias is None)
            if context.memory is not None:
                x = self._look_all(block, context, x)
            x = block.feed(x)
        hidden: Tensor = self.drop(self.norm(x))
        return hidden

    def begin(self, context: Context) -> DecodeState:
        """Prepare decoding; the memory's keys and values are computed once a user."""
        state = DecodeState(context)
        if context.memory is not None:
            state.cross = [block.cross.keys_values(context.memory) for block in self.layers]
        return state

    def step(
        self, state: DecodeState, before: Tensor, users: Tensor, which: Tensor | None = None
    ) -> Tensor:
        """Decode one more slot.

        Parameters
        ----------
        before : [n, dim], the start of each context at first, then embeddings of tokens
        users : int64 [rows], ascending: which context each row belongs to
        which : int64 [rows], which of ``before`` each row goes on from; None: row r from the r-th

        Returns
        -------
        [rows, dim]
        """
        at = len(state.history)
        if self.places is not None:
            before = before + self.places[at]
        x = before if which is None else before.index_select(0, which)
        bias = None if self.relative is None else self.relative(1, at + 1)[:, 0]  # [heads, at + 1]
        state.history.append([])
        for layer, block in enumerate(self.layers):
            y = block.norm(x if layer else before)
            key_value, queries = block.attention.key_value(y), block.attention.query(y)
            if layer == 0 and which is not None:  # rows of one token have the same there
                key_value, queries = (part.index_select(0, which) for part in (key_value, queries))
            state.history[at].append(key_value)
            x = x + block.attention.out(self._attend(state, layer, queries, bias, block))
            if state.cross:
                x = self._look(block, state.cross[layer], state.context.mask, x, users)
            x = block.feed(x)
        return self.norm(x)

    def _attend(
        self, state: DecodeState, layer: int, queries: Tensor, bias: Tensor | None, block: Block
    ) -> Tensor:
        """Attend from queries [rows, inner] to each row's own ancestors; [rows, inner]."""
        inner, heads = queries.shape[1], (block.attention.heads, block.attention.head_dim)
        own = state.history[-1][layer]
        if len(state.history) == 1:  # one key only: attention is its value
            return own[:, inner:]
        seen = [
            layers[layer].index_select(0, rows)
            for layers, rows in zip(state.history, state.ancestors, strict=False)
        ]
        seen.append(own)
        queries = queries.unflatten(1, heads)
        scores = [(queries * pair[:, :inner].unflatten(1, heads)).sum(-1) for pair in seen]
        # [steps, rows, heads]: a softmax over so few is 14 times faster along the first dimension.
        stacked = torch.stack(scores).float() * block.attention.scale
        if bias is not None:
            stacked = stacked + bias.T[:, None]
        weights = stacked.softmax(0).to(queries.dtype)[..., None]
        mixed = weights[0] * seen[0][:, inner:].unflatten(1, heads)
        for weight, pair in zip(weights[1:], seen[1:], strict=True):
            mixed.addcmul_(weight, pair[:, inner:].unflatten(1, heads))
        return mixed.flatten(1)

    def _look_all(self, block: Block, context: Context, x: Tensor) -> Tensor:
        """Attend to the memory from every slot; x is [rows, n, dim]."""
        assert context.memory is not None
        memory = block.cross.keys_values(context.memory)
        if context.owner is None:
            return block.look(x, memory, context.memory_bias)
        owner = context.owner.repeat_interleave(x.shape[1])
        return self._look(block, memory, context.mask, x.flatten(0, 1), owner).view_as(x)

    def _look(
        self, block: Block, memory: Tensor, mask: Tensor | None, x: Tensor, users: Tensor
    ) -> Tensor:
        """Attend to the memory, all of a user's rows together; x is [rows, dim]."""
        assert mask is not None
        contexts = mask.shape[0]
        counts = torch.bincount(users, minlength=contexts)
        widest = int(counts.max())
        if len(x) == contexts * widest:  # as many rows a user: the grid is there
            grid = x.unflatten(0, (contexts, widest))
            return block.look(grid, memory, mask[:, None, None, :]).flatten(0, 1)
        within = torch.arange(len(x), device=x.device) - (counts.cumsum(0) - counts)[users]
        grid = x.new_zeros(contexts, widest, x.shape[1])
        grid[users, within] = x
        return block.look(grid, memory, mask[:, None, None, :])[users, within]
