import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from spcnet.bench import networks
from spcnet.devices import has_bfloat16
from spcnet.models.registry import create_model


def test_rates_shares_and_ratios_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "USUAL_SIZE", 64)
    monkeypatch.setattr(networks, "MATRIX", 64)
    network = create_model("spcnet_s1_w64", num_joints=5, channels=16).eval()
    done: list[int] = []
    paces = networks.compare_networks(
        {"tiny": (network, 64)}, batches=[1, 2], turns=2, report=done.append
    )
    has_bf16 = has_bfloat16(torch.device("cpu"))
    forms = ["fp32 plain", "fp32 plain", "fp32 fused", *["bf16 fused"] * has_bf16]
    assert [(p.batch, p.form) for p in paces] == [(b, form) for b in (1, 2) for form in forms]
    assert done == list(range(1, 7))
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 64, 64))
    for of_batch in (paces[: len(forms)], paces[len(forms) :]):
        usual, *ours = of_batch
        assert (usual.network, usual.ratio) == (networks.REFERENCE, 1)
        for pace in ours:
            assert pace.gflops * pace.milliseconds == pytest.approx(
                counter.get_total_flops() / 1e9 * 1000
            )
            assert pace.share > 0
            assert pace.ratio == pytest.approx(usual.milliseconds / pace.milliseconds)
