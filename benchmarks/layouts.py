"""Ways to lay a history out for a generative model, compared on equal footing.

``python -m benchmarks.layouts DATA/beauty --layout causal --minutes 10 --out FILE.json``

sliding  bidirectional encoder, one target an example: TIGER's scheme (the family `paper`)
causal   item-causal encoder and token decoder, trained at every position of a window
flat     decoder only, one position a token, trained at every position
item     one position an item and a small token decoder: the default family

All use the same codes, sizes, softmax over legal codes, untied heads, optimiser and time. A step
has 1,024 targets, of `sliding` 256, since each of those is an example of its own. `item` reads the
continuous embeddings beside the codes, unless ``-s model.history_embeddings=false``. `causal` and
`flat` live here only: what came of the comparison stands in docs/model.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.machine import facts
from mgrec import Dataset, Recipe
from mgrec.catalogue import Catalogue, build_catalogue
from mgrec.choice import sampled
from mgrec.configs import ModelConfig, TrainingConfig
from mgrec.data.sequences import Sequences
from mgrec.data.splits import split
from mgrec.fitting import selection
from mgrec.ids.semantic_ids import PAD, START
from mgrec.measure.evaluation import measure
from mgrec.model.decoder import Context, DecodeState
from mgrec.model.generator import Generator
from mgrec.model.histories import TokenHistory
from mgrec.model.next_item import NextItem
from mgrec.model.training import train
from mgrec.model.transformer import Block
from mgrec.search.ranking import top
from mgrec.users import users_of

SMALL = {"dim": 128, "heads": 2, "head_dim": 64, "hidden": 512, "dropout": 0.3, "history": 20}


class CausalHistory(TokenHistory):
    """TIGER's encoder with items that do not see the items behind them."""

    slots: int

    def encode(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return states [rows, n * slots, dim] and which are real, from ids [rows, n, slots]."""
        self.slots = ids.shape[2]
        ids = ids.flatten(1)
        n = ids.shape[1]
        item = torch.arange(n, device=ids.device) // self.slots
        unseen = item[:, None] < item[None, :]
        bias = self.relative(n, n).masked_fill(unseen, float("-inf"))
        x = self.drop(self.tokens(ids))
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x), ids != PAD

    def forward(self, ids: Tensor, vectors: Mapping[str, Tensor], lengths: Tensor) -> Context:
        states, mask = self.encode(ids)
        start = self.tokens.weight[START].expand(len(ids), -1)
        return Context(start, states, mask)


class CausalTask(NextItem):
    """Every item of a window is generated from the items before it, all in one pass."""

    name = "training"

    def __init__(self, model: Generator, log: Sequences, config: TrainingConfig, seed: int) -> None:
        super().__init__(model, log, config, seed)
        self.every = True

    def loss(self, batch: Tensor) -> Tensor:
        model, history = self.generator, self.generator.history
        assert isinstance(history, CausalHistory)
        windows = self.items_at(batch)
        ids, _ = model.content(windows[:, :-1])
        memory, _ = history.encode(ids)
        targets = windows[:, 1:]
        rows, n = targets.shape
        places = list(model.ids.target)[:-1]
        before = model.tokens(model.token_table[targets.clamp(min=0)][..., places])
        start = model.tokens.weight[START].expand(rows, n, 1, -1)
        y = torch.cat([start, before], 2)  # [rows, n, slots, dim]
        depth = y.shape[2]
        item = torch.arange(n, device=y.device)
        of_query, of_key = item.repeat_interleave(depth), item.repeat_interleave(history.slots)
        seen = of_query[:, None] >= of_key[None, :]
        assert model.decoder.relative is not None
        ahead = torch.ones(depth, depth, dtype=torch.bool, device=y.device).triu(1)
        bias = model.decoder.relative(depth, depth).masked_fill(ahead, float("-inf"))
        for block in model.decoder.layers:
            y = y.view(rows * n, depth, -1)
            z = block.norm(y)
            queries, pair = block.attention.queries(z), block.attention.keys_values(z)
            y = y + block.drop(block.attention.attend(queries, pair, bias, causal=False))
            y = block.look(y.view(rows, n * depth, -1), block.cross.keys_values(memory), seen)
            y = block.feed(y)
        hidden = model.decoder.norm(y).view(rows, n, depth, -1)
        return _loss(model, hidden, targets)


class FlatHistory(nn.Module):
    """One causal stack over the tokens of a history and of the item to come."""

    def __init__(self, config: ModelConfig, tokens: nn.Embedding, slots: int) -> None:
        super().__init__()
        self.tokens, self.slots = tokens, slots
        self.places = nn.Parameter(torch.randn((config.history + 1) * slots, config.dim) * 0.02)
        sizes = (config.dim, config.heads, config.head_dim, config.hidden, config.dropout)
        layers = config.layers + config.decoder_layers
        self.drop = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(*sizes) for _ in range(layers))
        self.norm = nn.RMSNorm(config.dim, eps=1e-6)

    def states(self, ids: Tensor) -> Tensor:
        """Return [rows, n, slots, dim] from ids [rows, n, slots]."""
        x = self.tokens(ids).flatten(1, 2)
        x = self.drop(x + self.places[: x.shape[1]])
        for block in self.blocks:
            x = block(x, causal=True)
        return self.norm(x).unflatten(1, (-1, self.slots))

    def forward(self, ids: Tensor, vectors: Mapping[str, Tensor], lengths: Tensor) -> Context:
        """Return the last token as the start and those before it as the memory."""
        x = self.tokens(ids).flatten(1, 2)
        x = x + self.places[: x.shape[1]]
        last = lengths * self.slots - 1
        mask = torch.arange(x.shape[1], device=x.device) < last[:, None]
        return Context(x[torch.arange(len(x), device=x.device), last], x, mask)


class FlatDecoder(nn.Module):
    """Decodes with a `FlatHistory`'s own blocks, whose keys and values are the memory."""

    def __init__(self, history: FlatHistory) -> None:
        super().__init__()
        self.history = history

    def begin(self, context: Context) -> DecodeState:
        state, x = DecodeState(context), context.memory
        assert x is not None
        for block in self.history.blocks:
            state.cross.append(block.attention.keys_values(block.norm(x)))
            x = block(x, causal=True)
        return state

    def step(self, state: DecodeState, x: Tensor, users: Tensor) -> Tensor:
        at, mask = len(state.history), state.context.mask
        assert mask is not None
        if at:
            x = x + self.history.places[mask.sum(1) + at][users]
        state.history.append([])
        own = torch.ones(len(x), at + 1, dtype=torch.bool, device=x.device)
        real = torch.cat([mask[users], own], 1)[:, None, None, :]
        for layer, block in enumerate(self.history.blocks):
            y = block.norm(x)[:, None]
            state.history[at].append(block.attention.keys_values(y).movedim(0, 1))
            steps = [
                layers[layer][rows]
                for layers, rows in zip(state.history, state.ancestors, strict=False)
            ]
            steps.append(state.history[at][layer])
            pair = torch.cat([state.cross[layer][:, users], torch.cat(steps, 3).movedim(1, 0)], 3)
            mixed = block.attention.attend(block.attention.queries(y), pair, real, causal=False)
            x = block.feed(x + mixed[:, 0])
        return self.history.norm(x)


class FlatTask(CausalTask):
    """Every token of a window is predicted from the tokens before it."""

    def loss(self, batch: Tensor) -> Tensor:
        model, history = self.generator, self.generator.history
        assert isinstance(history, FlatHistory)
        windows = self.items_at(batch)
        ids, _ = model.content(windows)
        states = history.states(ids).flatten(1, 2)
        slots = ids.shape[2]
        # States one token before each of the target's: the last of the item before, then its own.
        return _loss(model, states[:, slots - 1 : -1].unflatten(1, (-1, slots)), windows[:, 1:])


def counted(task: type[NextItem]) -> type[NextItem]:
    """Return a task that counts the targets it has been trained on."""

    class Counted(task):  # type: ignore[misc,valid-type]
        seen = 0

        def loss(self, batch: Tensor) -> Tensor:
            real = int((batch >= 0).sum())
            self.seen += real - len(batch) if self.every else len(batch)
            return super().loss(batch)

    return Counted


def _loss(model: Generator, hidden: Tensor, targets: Tensor) -> Tensor:
    """Return the mean negative log-probability of targets [rows, n], from [rows, n, slots, dim]."""
    real = targets >= 0
    hidden, items = hidden[real], targets[real]
    total = hidden.new_zeros(len(items), dtype=torch.float32)
    needed = model.trie.decided[items]
    for level in range(model.trie.depth):
        rows = (needed > level).nonzero()[:, 0]
        if len(rows):
            chosen = model.chosen(level, hidden[rows, level], items[rows])
            total = total.index_add(0, rows, chosen)
    return -total.mean()


def assemble(layout: str, recipe: Recipe, catalogue: Catalogue) -> tuple[Generator, type[NextItem]]:
    """Return an untrained model of a layout, and the task that trains it."""
    torch.manual_seed(recipe.seed)
    model = Generator(recipe.model, catalogue.ids, catalogue.vectors)
    if layout == "causal":
        model.history = CausalHistory(recipe.model, model.tokens)
        return model, CausalTask
    if layout == "flat":
        model.history = FlatHistory(recipe.model, model.tokens, len(catalogue.ids.slots))
        model.decoder = FlatDecoder(model.history)
        return model, FlatTask
    return model, NextItem


def recipe_of(layout: str, name: str, size: str, minutes: float) -> Recipe:
    """Return a strategy's recipe for a layout: in the same sizes, or in TIGER's."""
    family = "default" if layout in ("item", "flat") else "paper"
    recipe = Recipe.named(name if family == "default" else f"paper-{name}")
    model = recipe.model.model_dump() | {"softmax": "legal"}
    training = Recipe.named(name).training.model_dump()
    if size == "small":
        model |= SMALL | {"layers": 2, "decoder_layers": 1, "tied": False}
    else:
        training = recipe.training.model_dump()
    training |= {
        "minutes": minutes,
        "epochs": 10_000,
        "targets": 256 if layout == "sliding" else 1024,
        "patience": 10_000,
        "threads": 1,
    }
    return recipe.model_copy(
        update={
            "model": ModelConfig(**model),
            "training": TrainingConfig(**training),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--layout", choices=("sliding", "causal", "flat", "item"), required=True)
    parser.add_argument("--recipe", default="text")
    parser.add_argument("--size", choices=("small", "own"), default="small")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--set", "-s", action="append", default=[], help="of the recipe")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    recipe = recipe_of(chosen.layout, chosen.recipe, chosen.size, chosen.minutes)
    recipe = recipe.override(chosen.set)
    data = Dataset.read(chosen.data)
    catalogue = build_catalogue(data, recipe, None)
    parts = split(users_of(data, catalogue), recipe.split)
    model, task = assemble(chosen.layout, recipe, catalogue)
    torch.set_num_threads(1)
    work = counted(task)(model, parts.train, recipe.training, recipe.seed)
    done = train(
        work,
        recipe.training,
        epochs=recipe.training.epochs,
        seed=recipe.seed + 1,
        evaluate=selection(model, sampled(parts.validation, recipe), recipe),
    )
    begun = time.process_time()
    found, _ = top(model, parts.test.history, 20, recipe.search.validation_beams, recipe.search)
    ranking = time.process_time() - begun
    result = measure(found, parts, data.users, data.items["item_id"], catalogue.present())
    document = {
        "command": " ".join(sys.argv),
        "machine": facts(),
        "layout": chosen.layout,
        "parameters": sum(p.numel() for p in model.parameters()),
        "epochs": done.curve[-1]["epoch"],
        "seconds": done.seconds,
        "targets_per_second": work.seen / done.seconds,
        "users_per_second": len(parts.test) / ranking,
        "validation": done.best,
        "curve": done.curve,
        "test": {name: asdict(interval) for name, interval in result.metrics.items()},
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    print({k: v for k, v in document.items() if k not in ("curve", "machine")})


if __name__ == "__main__":
    main()
