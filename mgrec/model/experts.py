"""Experts: recommenders of one view of the items each, which score the whole catalogue."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mgrec.configs import ExpertsConfig, ModelConfig, is_table, shown_in
from mgrec.data.features import Embeddings
from mgrec.data.sequences import Sequences
from mgrec.errors import RecipeError
from mgrec.ids.semantic_ids import SemanticIds
from mgrec.model.device import where
from mgrec.model.histories import CausalStack
from mgrec.model.neighbours import Neighbours
from mgrec.model.products import exact_product
from mgrec.model.readers import best_items
from mgrec.model.repeat import moved, once
from mgrec.model.views import CodeView, NameView, VectorView

View = NameView | VectorView | CodeView
Weights = tuple[tuple[int, int], ...]


class Scorer(nn.Module):
    """Predicts the next item of the whole catalogue, in one view of the items, from a state."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view
        self._catalogue: tuple[Weights, Tensor] | None = None  # as of some weights

    @property
    def n_items(self) -> int:
        return self.view.n_items

    @property
    def device(self) -> torch.device:
        """Where it reads and scores."""
        return where(self)

    def scores(self, states: Tensor) -> Tensor:
        """Return float32 [rows, items], logits, from states [rows, dim]."""
        return exact_product(states, self.catalogue())

    def catalogue(self) -> Tensor:
        """Return [items, dim]: the embeddings that score items; cached until weights change."""
        if self.training:
            found: Tensor = self.view(torch.arange(self.n_items, device=self.device))
            return found
        cached, weights = self._catalogue, self._weights()  # one read: threads may replace it
        if cached is None or cached[0] != weights:
            everything = torch.arange(self.n_items, device=self.device)
            # In float32 even under autocast: the cache serves all callers.
            exact = torch.autocast(self.device.type, enabled=False)
            with torch.inference_mode(False), torch.no_grad(), exact:
                cached = self._catalogue = weights, self.view(everything)
        return cached[1]

    def train(self, mode: bool = True) -> Self:
        """Switch between training and use; the cached catalogue is dropped."""
        self._catalogue = None  # a fused optimiser counts no versions
        super().train(mode)
        return self

    def _weights(self) -> Weights:
        """Return the addresses and versions of the view's weights, which change with them."""
        tensors = [*self.view.parameters(), *self.view.buffers()]
        return tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)


class Lodger(Scorer):
    """Predicts from the generative model's own state, whose scale it learns."""

    def __init__(self, view: View, dim: int) -> None:
        super().__init__(view)
        self.log_scale = nn.Parameter(torch.tensor(-0.5 * math.log(dim)))

    def scores(self, states: Tensor) -> Tensor:
        """Return float32 [rows, items], logits, from states [rows, dim]."""
        return super().scores(states) * self.log_scale.exp()


class Expert(Scorer):
    """Reads a history in one view of the items and predicts the next one in the same view.

    With items by name this is SASRec (arXiv 1808.09781) with a softmax over the catalogue.
    """

    def __init__(self, view: View, config: ModelConfig) -> None:
        super().__init__(view)
        self.history = config.history
        self.norm = nn.RMSNorm(config.dim, eps=1e-6)  # so that the places do not drown the items
        self.stack = CausalStack(config)

    def states(self, items: Tensor) -> Tensor:
        """int64 [rows, n], -1 for padding on the right -> [rows, n, dim]: after every item."""
        known, place = items.clamp(min=0).unique(return_inverse=True)
        states: Tensor = self.stack(self.norm(self.view(known).float())[place])
        return states

    def last(self, items: Tensor) -> Tensor:
        """Return [rows, dim]: the state after each history; none is empty."""
        rows = torch.arange(len(items), device=items.device)
        return self.states(items)[rows, (items >= 0).sum(1) - 1]

    def top(self, history: Sequences, k: int, exclude_seen: bool = False) -> NDArray[np.int64]:
        """Return int64 [rows, k]: item indices, best first; histories are not empty."""
        self.eval()
        return best_items(self, history, k, exclude_seen)


class Experts(nn.Module):
    """One expert a view, and how much each one's log-probability counts.

    EnsRec (arXiv 2512.17820) adds the scores of ids and of text; here any view may be one, beside
    the generated score, whose weight is 1. `weight` [experts] is chosen on validation; until then
    it is 0 where they are trained by themselves, so that nobody ranks by what was not weighed, and
    1 where they are trained with the generative model. `repeat` [experts] is each one's repeat
    score.

    Parameters
    ----------
    tokens : the generative model's, by which shared experts know codes
    """

    weight: Tensor
    repeat: Tensor

    def __init__(
        self,
        config: ModelConfig,
        ids: SemanticIds,
        embeddings: Mapping[str, Embeddings],
        tokens: nn.Embedding,
    ) -> None:
        super().__init__()
        self.names, self.shared = config.experts.views, config.experts.shared
        self.n_items = ids.n_items
        made: dict[str, nn.Module] = {}
        for name in self.names:
            if is_table(name):
                if (shown := shown_in(name)) is not None and shown not in embeddings:
                    raise RecipeError(
                        f"view '{name}' of an expert or teacher: compares embeddings, found none of"
                        f" '{shown}'"
                    )
                made[name] = Neighbours(ids.n_items, config.history)
                continue
            view = _view(name, config, ids, embeddings, tokens)
            own = _sizes(name, config)
            made[name] = Lodger(view, config.dim) if self.shared else Expert(view, own)
        self.of = nn.ModuleDict(made)
        self.register_buffer("weight", torch.full((len(made),), float(self.shared)))
        self.register_buffer("repeat", torch.zeros(len(made)))

    def __getitem__(self, name: str) -> Expert | Neighbours:
        expert = self.of[name]
        assert isinstance(expert, Expert | Neighbours)
        return expert

    def scorer(self, name: str) -> Scorer | Neighbours:
        """Return what scores in a view, whether it reads for itself or not."""
        scorer = self.of[name]
        assert isinstance(scorer, Scorer | Neighbours)
        return scorer

    def states(
        self,
        items: Tensor,
        start: Tensor | None = None,
        instead: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """Return an expert, [rows, ...]: what each makes of the histories.

        Parameters
        ----------
        items : int64 [rows, n], -1 for padding on the right
        start : [rows, dim], the generative model's own state, which shared experts use
        instead : by modality, other histories of the same lengths that views of it read instead
        """
        if self.shared:
            assert start is not None
            return (start,) * len(self.names)
        other = instead or {}
        return tuple(self[name].last(other.get(shown_in(name) or "", items)) for name in self.names)

    def log_probs(
        self,
        states: Sequence[Tensor],
        seen: Tensor | None = None,
        places: Sequence[int] | None = None,
    ) -> Tensor:
        """Return float32 [experts, rows, items].

        Parameters
        ----------
        states : an expert, what it made of the histories
        seen : int64 [rows, n], the histories' items, -1 for padding; None leaves out the repeat
            scores
        places : of the experts that are asked, in this order; None: all
        """
        return torch.stack(list(self._each(states, seen, places)))

    def _each(
        self, states: Sequence[Tensor], seen: Tensor | None, places: Sequence[int] | None
    ) -> Iterator[Tensor]:
        items = None if seen is None or not self.repeat.any() else once(seen)
        for at in range(len(self.names)) if places is None else places:
            found = self._log_prob(at, states)
            yield found if items is None else moved(found, items, self.repeat[at])

    def _log_prob(self, at: int, states: Sequence[Tensor]) -> Tensor:
        return self.scorer(self.names[at]).scores(states[at]).log_softmax(-1)

    def loss(self, start: Tensor, items: Tensor) -> Tensor:
        """Return the mean over the rows of shared experts' summed cross-entropies."""
        total = start.new_zeros((), dtype=torch.float32)
        for name in self.names:
            total = total + F.cross_entropy(self.scorer(name).scores(start), items)
        return total

    @property
    def content(self) -> list[int]:
        """Places of the trained experts that know an item by its content, so one that just came."""
        return [
            place for place, name in enumerate(self.names) if shown_in(name) and not is_table(name)
        ]

    def by_content(self, states: Sequence[Tensor]) -> Tensor:
        """Return float32 [rows, items]: log-probabilities by the product of those experts."""
        known = torch.stack([self._log_prob(place, states) for place in self.content])
        return known.sum(0).log_softmax(-1)

    def combined(
        self, states: Sequence[Tensor], seen: Tensor | None, weight: Tensor | None = None
    ) -> Tensor:
        """Return float32 [rows, items]: the sum of the experts' `log_probs`, weighted by `weight`,
        float32 [experts]; None: as they count in a ranking."""
        total = torch.zeros(len(states[0]), self.n_items, device=states[0].device)
        weights = self.weight if weight is None else weight
        places = weights.nonzero()[:, 0].tolist()
        for at, found in zip(places, self._each(states, seen, places), strict=True):
            total += weights[at] * found
        return total


def _sizes(name: str, config: ModelConfig) -> ModelConfig:
    """Return what an expert's stack is made of."""
    experts = config.experts
    dropout = experts.dropout if name == "id" else experts.content_dropout
    return config.model_copy(update={"dropout": dropout, "layers": experts.layers})


def _view(
    name: str,
    config: ModelConfig,
    ids: SemanticIds,
    embeddings: Mapping[str, Embeddings],
    tokens: nn.Embedding,
) -> View:
    """Return the named view: "id", or a modality by its embeddings, or by its codes where there are
    no embeddings or the recipe does not read them (`history_embeddings`).

    Raises
    ------
    RecipeError
        If it has neither, or its embeddings are all the same.
    """
    if name == "id":
        return NameView(ids.n_items, config.dim)
    if name in embeddings and config.history_embeddings:
        experts: ExpertsConfig = config.experts
        if not embeddings[name].vectors.any():  # standardised, which leaves nothing of equal ones
            raise RecipeError(
                f"view '{name}' of an expert or teacher: all embeddings are the same, expected some"
                " that tell items apart"
            )
        return VectorView(embeddings[name], experts.whiten, config.dim, experts.content_dropout)
    if not ids.block(name):
        raise RecipeError(
            f"view '{name}' of an expert or teacher: found neither codes of it nor embeddings that"
            " `model.history_embeddings` lets the model read"
        )
    return CodeView(ids, name, config.dim, tokens if config.experts.shared else None)
