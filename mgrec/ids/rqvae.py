"""RQ-VAE: an autoencoder whose latent vector is quantised level by level (arXiv 2305.05065)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mgrec.data.features import Codes, Embeddings
from mgrec.errors import MissingExtra
from mgrec.ids.codebooks import encode_present, quantise, restore, sample
from mgrec.ids.kmeans import kmeans, nearest
from mgrec.progress import bar

Matrix = NDArray[np.float32]

_HIDDEN = (512, 256)
_LATENT = 32
# 1e-2 makes nearly all items collide (DESIGN section 7).
_LEARNING_RATE = 1e-3
_COMMITMENT = 0.25  # TIGER's beta
_BATCH = 256
# Vectors that the codebooks start from, at most.
_START = 1 << 14
# A code whose running share of a batch falls below this part of an even one is restarted.
_DEAD = 0.1


@dataclass(frozen=True, eq=False)
class RQVAE:
    """Two small networks and the codebooks between them; expects standardised embeddings.

    Encoding and decoding need numpy alone; only `fit` needs the ``rqvae`` extra.

    Attributes
    ----------
    sizes : codes of each level
    books : float32 [codes, latent] a level
    encoder, decoder : (weights [out, in], bias [out]) a layer, with ReLU between
    """

    sizes: tuple[int, ...]
    books: tuple[Matrix, ...]
    encoder: tuple[tuple[Matrix, Matrix], ...]
    decoder: tuple[tuple[Matrix, Matrix], ...]

    @classmethod
    def fit(
        cls,
        embeddings: Embeddings,
        sizes: tuple[int, ...],
        *,
        iterations: int = 25,
        seed: int = 0,
    ) -> RQVAE:
        """Train by reconstruction, straight-through; the codebooks follow by moving averages.

        Parameters
        ----------
        embeddings : of which only the present rows count; all of those are held in memory
        sizes : codes of each level
        iterations : epochs

        Raises
        ------
        MissingExtra
            If vector-quantize-pytorch is not installed.
        DataError
            If no item has a vector, or one is not finite.
        """
        rng = np.random.default_rng(seed)
        rows = int(embeddings.present.sum())
        points = torch.from_numpy(sample(embeddings, rows, rng))
        with torch.random.fork_rng(devices=[]):  # the caller's random state stays as it was
            torch.manual_seed(seed)
            encoder = _network((embeddings.dim, *_HIDDEN, _LATENT))
            decoder = _network((_LATENT, *reversed(_HIDDEN), embeddings.dim))
            quantiser = _quantiser(sizes)
            with torch.no_grad():
                _start(quantiser, encoder(points[:_START]).numpy(), min(rows, _BATCH), rng)
            _train(points, encoder, decoder, quantiser, iterations)
        books = tuple(layer.codebook.detach().numpy().copy() for layer in quantiser.layers)
        return cls(tuple(sizes), books, _weights(encoder), _weights(decoder))

    @property
    def dim(self) -> int:
        """Return the dimension of the vectors."""
        return int(self.encoder[0][0].shape[1])

    def encode(self, embeddings: Embeddings) -> Codes:
        """Return the nearest code of each level's latent residual; absent rows get zeros."""
        return encode_present(
            embeddings,
            self.dim,
            self.sizes,
            lambda points: quantise(_apply(self.encoder, points), self.books),
        )

    def decode(self, codes: Codes) -> Matrix:
        """Return float32 [items, dim]: what the decoder makes of the codes, zero where absent."""
        vectors = _apply(self.decoder, restore(codes.codes, self.books))
        vectors[~codes.present] = 0
        return vectors

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays."""
        arrays: dict[str, NDArray[Any]] = {"sizes": np.array(self.sizes, np.int64)}
        arrays |= {f"books{level}": book for level, book in enumerate(self.books)}
        for name, layers in (("encoder", self.encoder), ("decoder", self.decoder)):
            for place, (weights, bias) in enumerate(layers):
                arrays |= {f"{name}{place}.weights": weights, f"{name}{place}.bias": bias}
        return arrays

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> RQVAE:
        """Put together what `state` returned."""
        sizes = tuple(int(size) for size in state["sizes"])
        books = tuple(state[f"books{level}"] for level in range(len(sizes)))
        encoder, decoder = (
            tuple(
                (state[f"{name}{place}.weights"], state[f"{name}{place}.bias"])
                for place in range(len(_HIDDEN) + 1)
            )
            for name in ("encoder", "decoder")
        )
        return cls(sizes, books, encoder, decoder)


def _network(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inner, outer in pairwise(widths):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _quantiser(sizes: tuple[int, ...]) -> Any:
    """Return an untrained ``ResidualVQ``."""
    try:
        from vector_quantize_pytorch import ResidualVQ
    except ImportError:
        raise MissingExtra(
            "quantiser.kind 'rqvae': vector-quantize-pytorch is not installed;"
            " pip install 'mgrec[rqvae]'"
        ) from None
    return ResidualVQ(
        dim=_LATENT,
        codebook_size=tuple(sizes),
        commitment_weight=_COMMITMENT,
        decay=0.95,
        rotation_trick=False,  # so that gradients pass straight through
    )


def _start(quantiser: Any, latent: Matrix, batch: int, rng: np.random.Generator) -> None:
    """Set the codebooks to residual k-means of the untrained latents [points, latent].

    The package's own k-means starts from random points and merges clusters that ours keeps apart.
    Its threshold for dead codes is the same at all levels; here it goes by the level's size.
    """
    residual = latent.copy()
    for layer, size in zip(quantiser.layers, quantiser.codebook_sizes, strict=True):
        book = layer._codebook
        centres = kmeans(residual, size, 20, rng)
        found = nearest(residual, centres)
        residual -= centres[found]
        # Running sums as a batch gives them; codes without a centre are dead and restart at once.
        counts = np.bincount(found, minlength=size) * (batch / len(residual))
        filled = np.zeros((size, _LATENT), np.float32)
        filled[: len(centres)] = centres
        book.embed.copy_(torch.from_numpy(filled[None]))
        book.cluster_size.copy_(torch.from_numpy(counts[None]))
        book.embed_avg.copy_(book.embed * book.cluster_size[..., None])
        book.threshold_ema_dead_code = _DEAD * batch / size
        book.reset_cluster_size = batch / size


def _train(
    points: Tensor, encoder: nn.Module, decoder: nn.Module, quantiser: Any, epochs: int
) -> None:
    """Minimise the squared error of reconstruction and the commitment, over whole batches."""
    batch = min(len(points), _BATCH)
    an_epoch = len(points) // batch
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], _LEARNING_RATE)
    quantiser.train()
    with bar("RQ-VAE", epochs * an_epoch, "steps") as shown:
        for _ in range(epochs):
            order = torch.randperm(len(points))
            for step in range(an_epoch):
                rows = points[order[step * batch : (step + 1) * batch]]
                latent, _, commitment = quantiser(encoder(rows))
                loss = (decoder(latent) - rows).square().mean() + commitment.sum()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                shown.advance()


def _weights(network: nn.Sequential) -> tuple[tuple[Matrix, Matrix], ...]:
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    return tuple(
        (layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy())
        for layer in layers
    )


def _apply(layers: Sequence[tuple[Matrix, Matrix]], points: Matrix) -> Matrix:
    """Run a network in float64, so that rounding to float32 hides what differs by batch."""
    out = points.astype(np.float64)
    for place, (weights, bias) in enumerate(layers):
        out = out @ weights.T.astype(np.float64) + bias
        if place < len(layers) - 1:
            out = np.maximum(out, 0)
    return out.astype(np.float32)
