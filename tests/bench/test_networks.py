import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from spcnet.bench.networks import REFERENCE, compare_networks
from spcnet.devices import has_bfloat16
from spcnet.models.registry import create_model


def test_rates_shares_and_ratios_fit_together() -> None:
    network = create_model("spcnet_s1_w64", num_joints=5, channels=16).eval()
    done: list[int] = []
    paces = compare_networks(
        {"tiny": (network, 64)}, batches=[1, 2], turns=2, usual=False, matrix=64,
        report=done.append,
    )  # fmt: skip
    cpu = torch.device("cpu")
    forms = ["fp32 plain", "fp32 fused", *["bf16 fused"] * has_bfloat16(cpu)]
    assert [(p.batch, p.form) for p in paces] == [(b, form) for b in (1, 2) for form in forms]
    assert done == list(range(1, 7))
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 64, 64))
    for pace in paces:
        assert pace.gflops * pace.milliseconds == pytest.approx(
            counter.get_total_flops() / 1e9 * 1000
        )
        assert pace.share > 0
        assert math.isnan(pace.ratio)


def test_the_usual_hourglass_is_the_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spcnet.bench.networks.USUAL_SIZE", 64)
    network = create_model("spcnet_s1_w64", num_joints=5, channels=16).eval()
    usual, *ours = compare_networks({"tiny": (network, 64)}, batches=[1], turns=1, matrix=64)
    assert (usual.network, usual.ratio) == (REFERENCE, 1)
    for pace in ours:
        assert pace.ratio == pytest.approx(usual.milliseconds / pace.milliseconds)
