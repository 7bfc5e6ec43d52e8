"""Contrastive modality alignment: the model learns which blocks belong to one item."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgrec.configs import AlignmentConfig
from mgrec.ids.semantic_ids import PAD
from mgrec.model.decoder import Context
from mgrec.model.device import where
from mgrec.model.generator import Generator
from mgrec.model.products import exact_product


class Alignment(nn.Module):
    """The alignment task of MGR-LF++ (arXiv 2503.23333, section 4.3), after quantisation.

    Two objectives. `contrastive`: symmetric InfoNCE between an item's pooled blocks, in-batch
    negatives; blocks that are missing, or identical, are no negatives; learnable temperature.
    `generative`: the decoder generates one block from the other. Details, temperature and schedule
    of the paper are not public, so that weights and values here are configuration.

    Parameters
    ----------
    generator : trained in place, through the parameters that sequence training shares
    withheld : bool [items] that it never trains on, to be measured on; None withholds nothing
    """

    name = "alignment"

    def __init__(
        self,
        generator: Generator,
        config: AlignmentConfig,
        seed: int,
        withheld: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.config, self.seed = generator, config, seed
        ids = generator.ids
        blocks = dict.fromkeys(s.modality for s in ids.slots if s.kind == "code")
        self.blocks = {m: ids.block(m) for m in blocks}
        device = where(generator)
        self.has = {m: torch.from_numpy(ids.has_block(m)).to(device) for m in self.blocks}
        both = torch.stack(list(self.has.values())).sum(0) >= 2  # those with something to align
        self.both = both if withheld is None else both & ~withheld.to(device)
        self.items = self.both.nonzero()[:, 0]
        self.log_scale = nn.Parameter(torch.tensor(1 / config.temperature).log())
        self.project = nn.ModuleDict(
            {m: nn.Linear(generator.config.dim, generator.config.dim) for m in self.blocks}
        )
        self.to(device)

    @property
    def module(self) -> nn.Module:
        return self

    @property
    def possible(self) -> bool:
        """Whether any item has two blocks."""
        return len(self.blocks) > 1 and len(self.items) > 1

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return int64 [items] batches."""
        order = np.random.default_rng([self.seed, epoch, 1]).permutation(len(self.items))
        return list(self.items.cpu()[torch.from_numpy(order)].split(self.config.batch))

    def sample(self, items: Tensor) -> Tensor:
        """Return items of a batch of targets that can be aligned, each once.

        Where they are more than a batch of alignment, it is chance that says which.
        """
        unique = items.unique()
        able = unique[self.both[unique]]
        chosen = torch.randperm(len(able))[: self.config.batch]
        return able[chosen.to(able.device)]

    def loss(self, items: Tensor) -> Tensor:
        """Return the mean over ordered pairs of modalities of both weighted objectives."""
        contexts = {m: self.read(items, m) for m in self.blocks}
        total = 0 * self.log_scale  # not a constant: a batch may have no pair to learn from
        pairs = list(permutations(self.blocks, 2))
        for source, goal in pairs:
            rows = (self.has[source][items] & self.has[goal][items]).nonzero()[:, 0]
            if len(rows) < 2:
                continue
            if self.config.contrastive:
                total = total + self.config.contrastive * self.match(
                    source, goal, contexts, items, rows
                )
            if self.config.generative and self._generates(goal):
                context = contexts[source].select(rows)
                total = total + self.config.generative * self.generate(context, goal, items[rows])
        return total / len(pairs)

    def read(self, items: Tensor, modality: str) -> Context:
        """Read one-item histories that show one block only."""
        model = self.generator
        tokens = torch.full_like(model.token_table[items], PAD)
        places = list(self.blocks[modality])
        tokens[:, places] = model.token_table[items][:, places]
        lengths = torch.ones_like(items)
        context: Context = model.history(tokens[:, None], {}, lengths)
        return context

    def pooled(self, context: Context, modality: str) -> Tensor:
        """Return unit vectors [rows, dim]: the block's state, or its mean over a memory."""
        state = context.start
        if context.memory is not None:  # padded slots of the one item are not part of the block
            state = context.memory[:, list(self.blocks[modality])].mean(1)
        return F.normalize(self.project[modality](state).float(), dim=-1)

    def match(
        self, source: str, goal: str, contexts: dict[str, Context], items: Tensor, rows: Tensor
    ) -> Tensor:
        """InfoNCE from one modality's blocks to the other's."""
        from_ = self.pooled(contexts[source].select(rows), source)
        to = self.pooled(contexts[goal].select(rows), goal)
        scores = exact_product(from_, to) * self.log_scale.exp().clamp(max=100)
        block = self.generator.token_table[items[rows]][:, list(self.blocks[goal])]
        same = (block[:, None] == block[None]).all(-1)
        same.fill_diagonal_(False)
        return F.cross_entropy(
            scores.masked_fill(same, float("-inf")), torch.arange(len(rows), device=scores.device)
        )

    def generate(self, context: Context, goal: str, items: Tensor) -> Tensor:
        """Negative log-probability a code of generating the goal's block, over its codebooks."""
        model = self.generator
        targets = list(model.ids.target)
        first = targets.index(self.blocks[goal][0])
        length = len(self.blocks[goal])
        states = model.teacher(context, items, first, length)
        loss = states.new_zeros((), dtype=torch.float32)
        for at, place in enumerate(self.blocks[goal]):
            slot = model.ids.slots[place]
            head = model.head[slot.first : slot.first + slot.size]
            logits = exact_product(states[:, at], head)
            loss = loss + F.cross_entropy(
                logits, model.token_table[items, place].long() - slot.first
            )
        return loss / length

    def _generates(self, modality: str) -> bool:
        """Whether a block's codes stand side by side among the generated slots."""
        targets = list(self.generator.ids.target)
        places = self.blocks[modality]
        if places[0] not in targets:
            return False
        first = targets.index(places[0])
        return tuple(targets[first : first + len(places)]) == places
