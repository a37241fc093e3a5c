"""On a GPU: networks for inference and in training, beside the usual hourglass and two floors.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --device cpu --turns 1 --small       (a trial, anywhere)

The floors of SPCNet are its arithmetic over the rate that a large bf16 matrix product reaches here,
and the bytes that its convolutions read and write (images, features and kernels, each once) over
the rate at which a large tensor is copied. Everything takes turns in one run, medians. A training
step is forward, loss, backward and optimiser on images that are there;
`benchmarks/training_loop.py --device cuda` times whole loops, pictures included.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from reference import ReferenceNetwork
from torch import Tensor, nn

from spcnet.devices import find_device
from spcnet.evaluation.speed import interleave
from spcnet.models.network import channels_last
from spcnet.models.registry import create_model
from spcnet.models.summary import count_gmac

JOINTS = 16


@dataclass(frozen=True)
class Case:
    """A network in one form: its numbers, its layout and how it is compiled."""

    name: str
    network: nn.Module
    bf16: bool = False
    last: bool = False
    mode: str | None = None  # of torch.compile; "reduce-overhead" has CUDA graphs

    def forward(self) -> Callable[[Tensor], object]:
        """The network, under autocast where it is in bf16."""
        device = next(self.network.parameters()).device
        run = self.network if self.mode is None else torch.compile(self.network, mode=self.mode)

        def call(images: Tensor) -> object:
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
                return run(images)

        return call

    def images(self, batch: int, size: int) -> Tensor:
        """Noise in the layout of this form."""
        device = next(self.network.parameters()).device
        noise = torch.rand(batch, 3, size, size, device=device)
        return noise.contiguous(memory_format=torch.channels_last) if self.last else noise


def cases(small: bool, device: torch.device, *, compiled: bool) -> list[Case]:
    """The usual hourglass as it is written, and SPCNet in every form there is."""

    def ours() -> nn.Module:
        narrow = {"stacks": 2, "channels": 16} if small else {}
        return create_model("spcnet_s8_w256", num_joints=JOINTS, **narrow).to(device)

    toy = {"stacks": 2, "width": 16} if small else {}
    usual = ReferenceNetwork(joints=JOINTS, **toy).to(device)
    found = [
        Case("usual 8-stack hourglass, fp32", usual),
        Case("usual 8-stack hourglass, bf16", usual, bf16=True),
        Case("SPCNet, fp32", ours()),
        Case("SPCNet, bf16", ours(), bf16=True),
        Case("SPCNet, bf16, channels last", channels_last(ours()), bf16=True, last=True),
    ]
    if compiled:
        for mode in ("default", "reduce-overhead"):
            name = f"SPCNet, bf16, channels last, compiled ({mode})"
            found.append(Case(name, channels_last(ours()), bf16=True, last=True, mode=mode))
    return found


@contextmanager
def counted(network: nn.Module, bytes_each: int) -> Iterator[list[int]]:
    """Bytes that the convolutions of the forward passes inside read and write, one entry each."""
    traffic: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        kernel = sum(parameter.numel() for parameter in module.parameters())
        traffic.append(bytes_each * (inputs[0].numel() + output.numel() + kernel))

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        yield traffic
    finally:
        for hook in hooks:
            hook.remove()


def training_step(case: Case, images: Tensor) -> Callable[[], None]:
    """One step of RMSProp on the mean square of all outputs."""
    optimizer = torch.optim.RMSprop(case.network.parameters(), lr=1e-6)
    forward = case.forward()

    def step() -> None:
        outputs = forward(images)
        assert isinstance(outputs, list | tuple)
        optimizer.zero_grad(set_to_none=True)
        sum(output.float().square().mean() for output in outputs).backward()
        optimizer.step()

    return step


def main() -> None:
    """Measure the floors, then inference, then training; print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--train-batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--small", action="store_true", help="toy sizes, nothing compiled")
    options = parser.parse_args()
    device = find_device(options.device)
    torch.backends.cudnn.benchmark = True
    size, matrix = (64, 256) if options.small else (256, 8192)
    batches = [1, 2] if options.small else options.batches

    square = torch.rand(matrix, matrix, device=device, dtype=torch.bfloat16)
    large = torch.rand(matrix, matrix, device=device)
    take_turns = partial(interleave, turns=options.turns, warmups=3, device=device)
    taken = take_turns({"product": partial(square.mm, square), "copy": large.clone})
    spent = {name: median(each) for name, each in taken.items()}
    rate = 2 * matrix**3 / spent["product"]
    bandwidth = 2 * large.nbytes / spent["copy"]
    print(
        f"{device}: bf16 matrix product {rate / 1e12:.3g} TFLOP/s, copy {bandwidth / 1e9:.4g} GB/s"
    )

    contenders = cases(options.small, device, compiled=not options.small)
    for case in contenders:
        case.network.eval()
    ours = contenders[-1]
    with torch.no_grad(), counted(ours.network, 2) as traffic:
        ours.network(ours.images(1, size))
    arithmetic = 1000 * 2e9 * count_gmac(ours.network, input_size=size) / rate
    moving = 1000 * sum(traffic) / bandwidth
    for batch in batches:
        calls = {
            case.name: torch.no_grad()(partial(case.forward(), case.images(batch, size)))
            for case in contenders
        }
        tell(take_turns(calls), batch, f"batch {batch}")
        print(f"  floors of SPCNet: arithmetic {arithmetic:.3g} ms an image, bytes {moving:.3g} ms")

    batch = 2 if options.small else options.train_batch
    steps = {}
    for case in contenders:
        if case.mode == "reduce-overhead":
            continue  # CUDA graphs are for inference here: gradients would be overwritten
        case.network.train()
        steps[case.name] = training_step(case, case.images(batch, size))
    tell(take_turns(steps), batch, f"training, batch {batch}")


def tell(taken: dict, batch: int, what: str) -> None:
    """A line a contender: ms and images a second, and the ratio to the first."""
    spent = {name: median(each) for name, each in taken.items()}
    first = next(iter(spent.values()))
    for name, seconds in spent.items():
        print(
            f"{what}: {name}: {1000 * seconds / batch:.3g} ms an image, {batch / seconds:.4g} "
            f"images/s, {first / seconds:.2f} times the first",
            flush=True,
        )


if __name__ == "__main__":
    main()
