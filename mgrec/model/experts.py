"""Experts: recommenders of one view of the items each, which score the whole catalogue."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mgrec.data.features import Embeddings
from mgrec.data.sequences import Sequences
from mgrec.ids.semantic_ids import SemanticIds
from mgrec.model.histories import CausalStack
from mgrec.model.views import CodeView, NameView, VectorView
from mgrec.recipe import ExpertsConfig, ModelConfig

RANKED = 512  # histories scored at once

View = NameView | VectorView | CodeView


class Expert(nn.Module):
    """Reads a history in one view of the items and predicts the next one in the same view.

    With items by name this is SASRec (arXiv 1808.09781) with a softmax over the catalogue.
    """

    def __init__(self, view: View, config: ModelConfig) -> None:
        super().__init__()
        self.view, self.history = view, config.history
        self.norm = nn.RMSNorm(config.dim, eps=1e-6)  # so that the places do not drown the items
        self.stack = CausalStack(config)
        self._catalogue: Tensor | None = None

    @property
    def n_items(self) -> int:
        return self.view.n_items

    def states(self, items: Tensor) -> Tensor:
        """int64 [rows, n], -1 for padding on the right -> [rows, n, dim]: after every item."""
        known, place = items.clamp(min=0).unique(return_inverse=True)
        states: Tensor = self.stack(self.norm(self.view(known).float())[place])
        return states

    def last(self, items: Tensor) -> Tensor:
        """Return [rows, dim]: the state after each history; none is empty."""
        rows = torch.arange(len(items), device=items.device)
        return self.states(items)[rows, (items >= 0).sum(1) - 1]

    def scores(self, states: Tensor) -> Tensor:
        """Return float32 [rows, items], logits, from states [rows, dim]."""
        return (states @ self.catalogue().T).float()

    @torch.inference_mode()
    def top(self, history: Sequences, k: int, exclude_seen: bool = False) -> NDArray[np.int64]:
        """Return int64 [rows, k]: item indices, best first; histories are not empty."""
        self.eval()
        out = np.full((len(history), k), -1, np.int64)
        recent = history.last(self.history)
        order = np.argsort(recent.lengths, kind="stable")
        for at in range(0, len(order), RANKED):
            rows = order[at : at + RANKED]
            scores = self.scores(self.last(torch.from_numpy(recent.select(rows).padded())))
            if exclude_seen:
                seen = torch.from_numpy(history.select(rows).padded())
                owner = torch.arange(len(rows))[:, None].expand_as(seen)
                scores[owner[seen >= 0], seen[seen >= 0]] = float("-inf")
            best = scores.topk(min(k, scores.shape[1]), dim=1)
            found = best.indices.masked_fill(best.values.isinf(), -1)
            out[rows, : found.shape[1]] = found.numpy()
        return out

    def catalogue(self) -> Tensor:
        """Return [items, dim]: every item as it is predicted; kept between calls when in use."""
        if self._catalogue is None:
            everything = torch.arange(self.n_items, device=self.stack.places.device)
            if self.training:
                found: Tensor = self.view(everything)
                return found
            with torch.inference_mode(False), torch.no_grad():
                self._catalogue = self.view(everything)
        return self._catalogue

    def train(self, mode: bool = True) -> Expert:
        """Switch between training and use; what was kept of the catalogue is forgotten."""
        self._catalogue = None
        super().train(mode)
        return self


class Experts(nn.Module):
    """One expert a view, and how much each one's log-probability counts.

    EnsRec (arXiv 2512.17820) adds the scores of ids and of text; here any view may be one, beside
    the generated score, whose weight is 1. `weight` [experts] is chosen on validation; until then
    it is 0, so that nobody ranks by what was not trained.
    """

    weight: Tensor

    def __init__(
        self,
        config: ModelConfig,
        ids: SemanticIds,
        embeddings: Mapping[str, Embeddings],
    ) -> None:
        super().__init__()
        self.names = config.experts.views
        sizes = config.model_copy(
            update={"dropout": config.experts.dropout, "layers": config.experts.layers}
        )
        self.of = nn.ModuleDict(
            {name: Expert(_view(name, config, ids, embeddings), sizes) for name in self.names}
        )
        self.register_buffer("weight", torch.zeros(len(self.names)))

    def __getitem__(self, name: str) -> Expert:
        expert = self.of[name]
        assert isinstance(expert, Expert)
        return expert

    def states(self, items: Tensor, instead: Mapping[str, Tensor] | None = None) -> Tensor:
        """Read histories, int64 [rows, n] with -1 for padding on the right: [rows, experts, dim].

        A view that `instead` names reads those histories, of the same lengths.
        """
        other = instead or {}
        return torch.stack([self[name].last(other.get(name, items)) for name in self.names], 1)

    def log_probs(self, states: Tensor) -> Tensor:
        """Return float32 [experts, rows, items] from states [rows, experts, dim]."""
        each = [self[name].scores(states[:, at]) for at, name in enumerate(self.names)]
        return torch.stack(each).log_softmax(-1)

    @property
    def content(self) -> list[int]:
        """Places of the experts that know an item by its content, and so one that just came."""
        return [place for place, name in enumerate(self.names) if name != "id"]

    def by_content(self, states: Tensor) -> Tensor:
        """Return float32 [rows, items]: log-probabilities by the product of those experts."""
        return self.log_probs(states)[self.content].sum(0).log_softmax(-1)

    def combined(self, states: Tensor) -> Tensor:
        """Return float32 [rows, items]: the weighted sum of the experts' log-probabilities."""
        total = torch.zeros(len(states), self[self.names[0]].n_items, device=states.device)
        for at, name in enumerate(self.names):
            total += self.weight[at] * self[name].scores(states[:, at]).log_softmax(-1)
        return total


def _view(
    name: str, config: ModelConfig, ids: SemanticIds, embeddings: Mapping[str, Embeddings]
) -> View:
    """Return the named view: "id", or a modality by its embeddings, or by its codes where there are
    no embeddings or the recipe does not read them (`history_embeddings`)."""
    if name == "id":
        return NameView(ids.n_items, config.dim)
    if name in embeddings and config.history_embeddings:
        experts: ExpertsConfig = config.experts
        return VectorView(embeddings[name], experts.whiten, config.dim, experts.view_dropout)
    return CodeView(ids, name, config.dim)
