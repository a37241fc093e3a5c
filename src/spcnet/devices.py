"""Names of devices."""

import torch

from spcnet.errors import UserError


def find_device(name: str) -> torch.device:
    """The device of a name: ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda:1"``, ...

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError):
        there = [f"cuda:{n}" for n in range(torch.cuda.device_count())]
        raise UserError(
            f"device {name!r} is not here; there is {', '.join(['auto', 'cpu', *there])}"
        ) from None
    return device
