"""Torch: a checkpoint on any device, in its fused form where it has one, else as it was built."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from spcnet.checkpoints import load_checkpoint
from spcnet.codec import normalise
from spcnet.devices import find_device, give_back_memory
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.models.network import PoseNetwork, channels_last
from spcnet.runtime.contract import Answer, Backend, Precision
from spcnet.runtime.fused import DTYPES, FusedNetwork, can_fuse
from spcnet.runtime.precision import choose_precision

# Normalised images to the last raw heatmaps and the attention, as of `FusedNetwork`.
Forward: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor | None]]


def make_forward(network: PoseNetwork, precision: str, *, consume: bool = False) -> Forward:
    """The fastest form of a network in evaluation mode, on the device where it is.

    What `consume` means is said in `FusedNetwork`; a network that has no such form stays whole.
    """
    dtype = DTYPES[precision]
    if can_fuse(network):
        fused = FusedNetwork(network, dtype=dtype, consume=consume)
        if consume:
            give_back_memory()
        return fused

    def run(images: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.autocast(images.device.type, dtype=dtype, enabled=dtype != torch.float32):
            outputs = network.forward_all(images)
        return outputs.heatmaps[-1].float(), outputs.attention

    return run


class TorchBackend(Backend):
    """A checkpoint, run by torch; see `open_backend`.

    A crop's way through it is `normalise`, the network's `run`, and the codec's `activate`.
    """

    def __init__(self, path: Path, device: str, precision: Precision = "fp32") -> None:
        self.path = path
        self.device = find_device(device)
        network, self.card = load_checkpoint(path)
        network = network.to(self.device)
        if not can_fuse(network):
            network = channels_last(network)

        def run_in(tried: str) -> Backend:
            self.run = make_forward(network, tried)
            return self

        self.precision, text = choose_precision(precision, self.device, run_in)
        self.place = f"{self.device}{text}"
        self.run = make_forward(network, self.precision, consume=True)
        self._network = None if isinstance(self.run, FusedNetwork) else network

    @property
    def network(self) -> PoseNetwork:
        """The network as it was built; it is read again where its fused form took its place."""
        if self._network is None:
            self._network = load_checkpoint(self.path)[0].to(self.device)
        return self._network

    @network.setter
    def network(self, network: PoseNetwork) -> None:
        self._network = network
        self.run = make_forward(network, self.precision)

    def without_attention(self) -> UserError:
        return UserError(f"model {self.card.variant!r} has no attention: it selects no levels")

    @torch.inference_mode()
    def __call__(self, crops: Array) -> Answer:
        raw, attention = self.run(self.normalise(crops))
        weights = None if attention is None else attention.float()
        return Answer(self.card.codec.activate(raw), weights)

    def normalise(self, crops: Array) -> Tensor:
        """uint8 (N, S, S, 3) as the network takes it: (N, 3, S, S) float32, channels last."""
        return normalise(torch.from_numpy(crops).to(self.device))


open_file = TorchBackend
