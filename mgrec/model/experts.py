"""Experts: whole-catalogue scores from one view of the items each, added to the generated one's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgrec.ids.semantic_ids import SemanticIds
from mgrec.model.histories import VectorReader
from mgrec.recipe import ModelConfig


class VectorKeys(nn.Module):
    """Items by their continuous embedding, in the projection that histories are read with.

    Sharing it makes "more of the same" the model's first guess, which few data suffice to refine.
    """

    table: Tensor
    present: Tensor

    def __init__(self, reader: VectorReader, table: Tensor, present: Tensor) -> None:
        super().__init__()
        self.reader = reader
        self.register_buffer("table", table, persistent=False)  # [items, width]
        self.register_buffer("present", present, persistent=False)  # bool [items]
        self.absent = nn.Parameter(torch.zeros(reader.dim))  # the key of items that have none

    def forward(self) -> Tensor:
        """Return [items, dim]."""
        return torch.where(self.present[:, None], self.reader(self.table), self.absent)


class CodeKeys(nn.Module):
    """Items by one modality's codes, where codes are all that is known of it."""

    places: Tensor

    def __init__(self, tokens: nn.Embedding, ids: SemanticIds, modality: str) -> None:
        super().__init__()
        self.tokens = tokens
        block = list(ids.block(modality))
        places = torch.from_numpy(ids.tokens[:, block]).long()
        self.register_buffer("places", places, persistent=False)  # [items, levels]

    def forward(self) -> Tensor:
        """Return [items, dim]."""
        return self.tokens(self.places).sum(1)


class NameKeys(nn.Module):
    """Items by a free vector each, as a collaborative filter knows them."""

    def __init__(self, config: ModelConfig, n_items: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_items, config.dim)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self) -> Tensor:
        """Return [items, dim]."""
        return self.embedding.weight


class Experts(nn.Module):
    """One softmax over the catalogue for each named view, on the state after a history.

    EnsRec (arXiv 2512.17820) adds ids and text; here any view may be one. `weight` [experts] says
    how much each log-probability counts beside the generated one; it is fitted on validation.
    """

    weight: Tensor

    def __init__(
        self,
        config: ModelConfig,
        ids: SemanticIds,
        tokens: nn.Embedding,
        readers: Mapping[str, VectorReader],
        vectors: Mapping[str, tuple[Tensor, Tensor]],
    ) -> None:
        super().__init__()
        self.names = config.experts
        self.keys = nn.ModuleDict()
        for name in self.names:
            if name == "id":
                self.keys[name] = NameKeys(config, ids.n_items)
            elif name in readers:
                self.keys[name] = VectorKeys(readers[name], *vectors[name])
            else:
                self.keys[name] = CodeKeys(tokens, ids, name)
        self.log_scale = nn.Parameter(torch.zeros(len(self.names)))
        self.register_buffer("weight", torch.ones(len(self.names)))

    def scores(self, name: str, state: Tensor) -> Tensor:
        """Return float32 [rows, items], one expert's logits."""
        scale = self.log_scale[self.names.index(name)].exp() * state.shape[-1] ** -0.5
        return (state @ self.keys[name]().T).float() * scale

    def log_probs(self, state: Tensor) -> Tensor:
        """Return float32 [experts, rows, items] from states [rows, dim]."""
        return torch.stack([self.scores(name, state) for name in self.names]).log_softmax(-1)

    def loss(self, state: Tensor, items: Tensor) -> Tensor:
        """Return the mean over the rows of the experts' summed cross-entropies."""
        total = state.new_zeros((), dtype=torch.float32)
        for name in self.names:
            total = total + F.cross_entropy(self.scores(name, state), items)
        return total

    @property
    def content(self) -> list[int]:
        """Places of the experts that know an item by its content, and so one that just came."""
        return [place for place, name in enumerate(self.names) if name != "id"]

    def by_content(self, state: Tensor) -> Tensor:
        """Return float32 [rows, items]: log-probabilities by the product of those experts."""
        return self.log_probs(state)[self.content].sum(0).log_softmax(-1)

    def combined(self, state: Tensor) -> Tensor:
        """Return float32 [rows, items]: the weighted sum of the experts' log-probabilities."""
        return torch.einsum("e,eri->ri", self.weight, self.log_probs(state))
