"""The `paper` family as Hugging Face's T5: the same weights, the same outputs, their code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from mgrec.configs import ModelConfig
from mgrec.ids.semantic_ids import PAD, START, SemanticIds
from mgrec.model.generator import Generator

# Hugging Face starts all beams but the first at -1e9: what scores less was never legal.
NEVER = -1e8


@dataclass(frozen=True)
class TokenTrie:
    """Legal continuations by prefix, in a dict, as the code of TIGER and GRID keeps them.

    Attributes
    ----------
    ids : the catalogue's IDs
    children : prefix of target tokens -> the tokens that may follow
    item : all target tokens of an item -> its index
    """

    ids: SemanticIds
    children: dict[tuple[int, ...], list[int]]
    item: dict[tuple[int, ...], int]

    @classmethod
    def of(cls, ids: SemanticIds) -> TokenTrie:
        """Index a catalogue's IDs."""
        item = {tuple(row): i for i, row in enumerate(ids.tokens[:, list(ids.target)].tolist())}
        follow: dict[tuple[int, ...], set[int]] = {}
        for tokens in item:
            for at, token in enumerate(tokens):
                follow.setdefault(tokens[:at], set()).add(token)
        return cls(ids, {prefix: sorted(tokens) for prefix, tokens in follow.items()}, item)

    def allowed(self, user: int, tokens: Tensor) -> list[int]:
        """Say what may follow, as `prefix_allowed_tokens_fn`; int64 [START, token, ...]."""
        # A beam that has left the catalogue scores -inf already, but has to go on with something.
        return self.children.get(tuple(tokens.tolist()[1:]), [PAD])


def tokens_of(ids: SemanticIds, items: Tensor) -> tuple[Tensor, Tensor]:
    """Write histories as T5 reads them.

    Parameters
    ----------
    items : int64 [rows, n], oldest first, padded behind with -1

    Returns
    -------
    tokens : int64 [rows, n * slots], padded behind with `PAD`
    mask : bool [rows, n * slots], which of them are real
    """
    table = torch.from_numpy(ids.tokens).long()
    tokens = table[items.clamp(min=0)].masked_fill(items[..., None] < 0, PAD).flatten(1)
    return tokens, tokens != PAD


def t5_config(model: ModelConfig, vocabulary: int) -> T5Config:
    """Return the configuration of a T5 of the same shape."""
    return T5Config(
        vocab_size=vocabulary,
        d_model=model.dim,
        d_kv=model.head_dim,
        d_ff=model.hidden,
        num_layers=model.layers,
        num_decoder_layers=model.decoder_layers,
        num_heads=model.heads,
        dropout_rate=model.dropout,
        pad_token_id=PAD,
        decoder_start_token_id=START,
        eos_token_id=None,  # IDs have a fixed length
    )


def to_t5(model: Generator) -> T5ForConditionalGeneration:
    """Return Hugging Face's T5 with the weights of a model of the `paper` family.

    Both divide the logits by the root of the dimension, tied or not; T5 does so only where its
    configuration says "tied", so that a head of its own is put in afterwards. `generate` takes
    only stacks of equal depth, since its caches are made with the encoder's.

    Raises
    ------
    ValueError
        If the model is of another family.
    """
    if model.config.family != "paper":
        raise ValueError(f"T5: expected a model of family 'paper', found '{model.config.family}'")
    t5 = T5ForConditionalGeneration(t5_config(model.config, model.ids.vocabulary))
    if model.outputs is not None:
        t5.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.outputs.weight))
    theirs = t5.state_dict()
    ours = dict(renamed(dict(model.named_parameters())))
    for name, weight in theirs.items():
        weight.copy_(ours[name])
    return t5.train(model.training)


def renamed(ours: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Return our parameters, or their gradients, under the names that Hugging Face has for them.

    Parameters
    ----------
    ours : by our names; keys and values are one matrix in ours and two in theirs
    """
    for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens"):
        yield f"{name}.weight", ours["tokens.weight"]
    yield "lm_head.weight", ours.get("outputs.weight", ours["tokens.weight"])
    for here, there in (("history", "encoder"), ("decoder", "decoder")):
        bias = f"{there}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield bias, ours[f"{here}.relative.table.weight"]
        yield f"{there}.final_layer_norm.weight", ours[f"{here}.norm.weight"]
        layers = len({name.split(".")[2] for name in ours if name.startswith(f"{here}.blocks.")})
        for layer in range(layers):
            block = f"{here}.blocks.{layer}."
            inside = {k.removeprefix(block): w for k, w in ours.items() if k.startswith(block)}
            for name, weight in _block(inside):
                yield f"{there}.block.{layer}.layer.{name}", weight


def _block(ours: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Return a block's parameters under their names within theirs."""
    parts = [("attention", "norm", "SelfAttention")]
    if "cross_norm.weight" in ours:
        parts.append(("cross", "cross_norm", "EncDecAttention"))
    for at, (attention, norm, theirs) in enumerate(parts):
        yield f"{at}.layer_norm.weight", ours[f"{norm}.weight"]
        yield f"{at}.{theirs}.q.weight", ours[f"{attention}.query.weight"]
        key, value = ours[f"{attention}.key_value.weight"].chunk(2)
        yield f"{at}.{theirs}.k.weight", key
        yield f"{at}.{theirs}.v.weight", value
        yield f"{at}.{theirs}.o.weight", ours[f"{attention}.out.weight"]
    last = len(parts)
    yield f"{last}.layer_norm.weight", ours["feed_norm.weight"]
    yield f"{last}.DenseReluDense.wi.weight", ours["widen.weight"]
    yield f"{last}.DenseReluDense.wo.weight", ours["narrow.weight"]


@torch.inference_mode()
def generate_t5(
    t5: T5ForConditionalGeneration, trie: TokenTrie, histories: Tensor, beams: int, k: int
) -> tuple[Tensor, Tensor]:
    """Generate the likeliest items with `generate` and a callback that knows what is legal.

    Parameters
    ----------
    histories : int64 [users, n], items, oldest first, padded behind with -1; not longer than the
        model's history
    beams : prefixes kept a user; at least 2, since `generate` makes a greedy search of one
    k : items returned, at most `beams`

    Returns
    -------
    items : int64 [users, k], best first, -1 behind the last
    scores : float32 [users, k], summed log-probabilities, -inf behind the last

    Raises
    ------
    ValueError
        If there are fewer than 2 beams.
    """
    if beams < 2:
        raise ValueError(f"generate: expected at least 2 beams, found {beams}")
    tokens, mask = tokens_of(trie.ids, histories)
    depth = len(trie.ids.target)
    found = t5.generate(
        input_ids=tokens,
        attention_mask=mask.long(),
        num_beams=beams,
        num_return_sequences=k,
        max_new_tokens=depth,
        do_sample=False,
        early_stopping=False,
        length_penalty=0.0,  # a score is divided by length ** penalty
        prefix_allowed_tokens_fn=trie.allowed,
        return_dict_in_generate=True,
        output_scores=True,
    )
    written = found.sequences[:, 1 : depth + 1].tolist()
    items = torch.tensor([trie.item.get(tuple(row), -1) for row in written])
    scores = found.sequences_scores
    never = (scores < NEVER) | (items < 0)
    items, scores = items.masked_fill(never, -1), scores.masked_fill(never, float("-inf"))
    return items.view(-1, k), scores.view(-1, k)
