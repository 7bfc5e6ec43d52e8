"""The generative recommender: histories in, probabilities of the next item's codes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mgrec.configs import ModelConfig
from mgrec.data.features import Embeddings
from mgrec.errors import RecipeError
from mgrec.ids.children import Children, barrier
from mgrec.ids.semantic_ids import PAD, SemanticIds
from mgrec.ids.trie import Trie
from mgrec.model.decoder import Context, TokenDecoder
from mgrec.model.experts import Experts
from mgrec.model.histories import ItemHistory, TokenHistory, latest
from mgrec.model.products import exact_product
from mgrec.model.shares import Shares, shares_of


class Generator(nn.Module):
    """One of the two assemblies over a catalogue: a history's reader, a token decoder, a head.

    Parameters
    ----------
    config : family, sizes, softmax
    ids : the catalogue's semantic IDs
    vectors : continuous embeddings by modality, used by the default family where it asks for them
    trie : that of `ids`, where it is at hand; None builds it
    """

    token_table: Tensor
    repeat: Tensor

    def __init__(
        self,
        config: ModelConfig,
        ids: SemanticIds,
        vectors: Mapping[str, Embeddings],
        trie: Trie | None = None,
    ) -> None:
        super().__init__()
        paper = config.family == "paper"
        if paper and config.experts.views:
            raise RecipeError("model.experts: only for family 'default', found family 'paper'")
        self.config, self.ids = config, ids
        self.trie = Trie.of(ids) if trie is None else trie
        self.register_buffer("token_table", torch.from_numpy(ids.tokens), persistent=False)
        self._targets = list(ids.target)
        self.tokens = nn.Embedding(ids.vocabulary, config.dim, padding_idx=PAD)
        with torch.no_grad():
            self.tokens.weight.normal_(std=1.0 if paper else 0.3)[PAD] = 0
        self.outputs: nn.Embedding | None = None
        if not config.tied:
            self.outputs = nn.Embedding(ids.vocabulary, config.dim)
        self.scale = config.dim**-0.5
        tables = {name: torch.from_numpy(e.vectors) for name, e in vectors.items()}
        self._tables = [] if paper or not config.history_embeddings else list(tables)
        for name in self._tables:
            self.register_buffer(f"vectors_{name}", tables[name], persistent=False)
        self.history: ItemHistory | TokenHistory
        if paper:
            self.history = TokenHistory(config, self.tokens)
        else:
            self.history = ItemHistory(
                config, self.tokens, {name: tables[name].shape[1] for name in self._tables}
            )
        self.decoder = TokenDecoder(config, len(ids.target), cross=paper, t5=paper)
        self.shares: Shares | None = None  # of items added after training
        self.experts: Experts | None = None
        if config.experts.views:
            self.experts = Experts(config, ids, vectors, self.tokens)
        self.register_buffer("repeat", torch.zeros(()))  # see search.repeats

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast everything; the trie goes along."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.trie = self.trie.to(self.token_table.device)
        return self

    def share(
        self, added: NDArray[np.bool_] | None, counts: NDArray[np.int64], ratio: float | None
    ) -> None:
        """Let items in that training never saw; see `shares_of`."""
        by_content = self.experts is not None and bool(self.experts.content)
        self.shares = shares_of(self.trie, added, counts, ratio, by_content=by_content)

    @property
    def head(self) -> Tensor:
        """[vocabulary, dim]: what tokens are predicted by; tied, that is what they are read by."""
        return (self.tokens if self.outputs is None else self.outputs).weight * self.scale

    @property
    def legal(self) -> bool:
        """Whether the softmax is over legal codes only: a distribution over the catalogue."""
        return self.config.softmax == "legal"

    @property
    def weights(self) -> float:
        """The sum of the weights in a score: 1 for the generator, plus those of the experts."""
        return 1.0 + (0.0 if self.experts is None else float(self.experts.weight.sum()))

    def content(self, items: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Look up items, int64 [rows, n] with -1 for padding: tokens [rows, n, slots], vectors."""
        known = items.clamp(min=0)
        ids = self.token_table[known].masked_fill(items[..., None] < 0, PAD)
        return ids, {name: getattr(self, f"vectors_{name}")[known] for name in self._tables}

    def context(self, items: Tensor) -> Context:
        """Read whole histories, int64 [rows, n], oldest first, padded behind with -1; none empty.

        The last ``config.history`` items are encoded; all of them are seen items.
        """
        seen, items = items, latest(items, self.config.history)
        ids, vectors = self.content(items)
        context: Context = self.history(ids, vectors, (items >= 0).sum(1))
        views = None if self.experts is None else self.experts.states(items, context.start)
        return replace(context, views=views, seen=seen)

    def states(self, items: Tensor) -> Tensor:
        """Return [rows, n, dim]: the state after every item (default family only)."""
        assert isinstance(self.history, ItemHistory)
        ids, vectors = self.content(items)
        return self.history.positions(ids, vectors)

    def embed_codes(self, level: int, nodes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the embeddings of codes, [n, dim], and which of them each node, int64 [rows], has;
        None where each has one of its own, as there are fewer nodes than codes."""
        slot = self.ids.target_slots[level]
        code = self.trie.levels[level].code[nodes].long()
        if len(nodes) < slot.size:
            return self.tokens(code + slot.first), None
        return self.tokens.weight[slot.first : slot.first + slot.size], code

    def next_codes(self, level: int, hidden: Tensor, parents: Tensor) -> tuple[Children, Tensor]:
        """Score every legal code that may follow a prefix.

        Parameters
        ----------
        hidden : [rows, dim], the decoder's states
        parents : int64 [rows], trie nodes of the prefixes

        Returns
        -------
        children : of the parents
        log_prob : float32 [rows, width], -inf where a child is not real
        """
        children = self.trie.children(level, parents)
        slot = self.ids.target_slots[level]
        low = 0 if not self.legal else slot.first
        head = self.head if not self.legal else self.head[slot.first : slot.first + slot.size]
        logits = exact_product(hidden, head)
        if not self.legal:  # over all tokens
            logits = logits.log_softmax(-1)
        scores = logits[:, slot.first - low : slot.first - low + slot.size]
        if not (children.alike and children.width == slot.size):  # else all codes, in their order
            codes = children.of(self.trie.levels[level].code)
            scores = scores.gather(1, codes.long())
        if not children.alike:
            scores = scores + barrier(children.padding)
        if self.legal:  # over what may follow
            scores = scores.log_softmax(-1)
        if self.shares is not None:
            scores = self.shares.log_prob(level, parents, children, scores, self.legal)
        return children, scores

    def log_prob(self, context: Context, items: Tensor) -> Tensor:
        """Return float32 [rows]: the log-probability of each row's item.

        It is that of generating its codes, but for items that training never saw and that experts
        know by their content (`Shares`).
        """
        total = self.log_prob_of_codes(context, items)
        if self.experts is None or self.shares is None or self.shares.by_content is None:
            return total
        assert context.views is not None
        new = self.shares.items[items]
        views = tuple(view[new] for view in context.views)
        by_content = self.experts.by_content(views).gather(1, items[new, None])[:, 0]
        return total.masked_scatter(new, by_content + self.shares.by_content)

    def log_prob_of_codes(self, context: Context, items: Tensor) -> Tensor:
        """Return float32 [rows]: the log-probability of generating each row's item.

        Under the legal softmax a code without an alternative costs nothing, so that rows are
        decoded only until one item is left.
        """
        depth = self.trie.depth
        needed = self.trie.decided[items] if self.legal else torch.full_like(items, depth)
        order = needed.argsort(stable=True)
        bounds = needed[order].bincount(minlength=depth + 1).cumsum(0).tolist()
        by_level: list[list[Tensor]] = [[] for _ in range(depth)]
        for length in range(1, depth + 1):
            rows = order[bounds[length - 1] : bounds[length]]
            if len(rows):
                hidden = self.teacher(context.select(rows), items[rows], 0, length)
                for level in range(length):
                    by_level[level].append(hidden[:, level])
        total = torch.zeros(len(items), dtype=torch.float32, device=items.device)
        for level, parts in enumerate(by_level):
            if parts:
                rows = order[bounds[level] :]  # those that need this level stand behind the others
                chosen = self.chosen(level, torch.cat(parts), items[rows])
                total = total.index_add(0, rows, chosen)
        return total

    def teacher(self, context: Context, items: Tensor, first: int, length: int) -> Tensor:
        """Return [rows, length, dim]: states for slots first.., fed with the items' own tokens."""
        places = self._targets[first : first + length - 1]
        before = self.tokens(self.token_table[items][:, places])
        hidden: Tensor = self.decoder(context, before, first)
        return hidden

    def chosen(self, level: int, hidden: Tensor, items: Tensor) -> Tensor:
        """Return float32 [rows]: the log-probability of the items' own codes at a level."""
        parents = self.trie.nodes_of(items, level - 1)
        children, log_prob = self.next_codes(level, hidden, parents)
        place = self.trie.nodes_of(items, level) - children.begin
        return log_prob.gather(1, place[:, None])[:, 0]
