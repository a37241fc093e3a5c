"""Two models or files of predictions on the same persons, by the command."""

import json
from pathlib import Path

import pytest
from command_line import fails, spcnet
from conftest import untrained

from spcnet.skeletons import LSP14


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "figures"
    done = spcnet("data", "synth", "-o", folder, "--count", 6, "--size", 64)
    assert done.returncode == 0, done.stderr
    return folder


def test_models_and_their_predictions_are_compared_alike(
    figures: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    import torch

    from spcnet.checkpoints import load_checkpoint, save_checkpoint

    other = untrained(tmp_path / "other.safetensors", LSP14)
    network, card = load_checkpoint(other)
    torch.manual_seed(3)
    moved = {
        k: v + 0.3 * torch.randn_like(v) if v.ndim > 1 else v
        for k, v in network.state_dict().items()
    }
    save_checkpoint(other, moved, card)
    source = f"coco:{figures}/annotations.json:all"
    models = spcnet("compare", tiny_checkpoint, other, "--source", source, "--json")
    assert models.returncode == 0, models.stderr
    (found,) = json.loads(models.stdout)["on"].values()
    assert found["persons"] == 6
    written = spcnet(
        "evaluate", "--model", other, "--dataset", "coco", "--root", figures / "annotations.json",
        "--split", "all", "--predictions", tmp_path / "other.npz", "--json",
    )  # fmt: skip
    assert written.returncode == 0, written.stderr
    evaluated = json.loads(written.stdout)
    assert (evaluated["protocol"], evaluated["mean"]) == ("pck-box", found["scores"][1])
    of_source = spcnet("evaluate", "--model", other, "--source", source, "--json")
    assert json.loads(of_source.stdout)["protocol"] == "torso-pck"  # as cards' commands have it
    of_file = spcnet(
        "compare", tiny_checkpoint, tmp_path / "other.npz", "--source", source, "--json"
    )
    assert of_file.returncode == 0, of_file.stderr
    (same,) = json.loads(of_file.stdout)["on"].values()
    assert same["scores"] == pytest.approx(found["scores"])
    assert same["interval"] == pytest.approx(found["interval"])
    shown = spcnet("compare", tiny_checkpoint, tiny_checkpoint, "--source", source)
    assert shown.stdout.splitlines()[0].split() == [
        "Data", "Persons", "First", "Second", "Difference", "95", "%", "interval", "Persons",
        "to", "be", "sure",
    ]  # fmt: skip
    assert shown.stdout.splitlines()[2].split()[-5:] == ["+0.00", "+0.00", "to", "+0.00", "-"]
    assert "pck-box@0.05, mean over the joints" in shown.stderr
    assert f"first: model {tiny_checkpoint.stem} (" in shown.stderr


def test_what_cannot_be_compared_is_one_line(
    figures: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    source = f"coco:{figures}/annotations.json:all"
    fails("compare", tiny_checkpoint, "nosuch", "--source", source, told="nosuch")
    fails("compare", tiny_checkpoint, tmp_path / "no.npz", "--source", source, told="no such file")
    fails("compare", tiny_checkpoint, tiny_checkpoint, "--source", source, "--protocol", "pckh",
          told="unknown protocol 'pckh'")  # fmt: skip
    fails("compare", tiny_checkpoint, tiny_checkpoint, "--source", source, "--protocol", "oks",
          told="oks scores whole persons; here joints must be right or wrong: take a variant of "
          "PCK, such as pck-box")  # fmt: skip
    done = spcnet("compare", "a.npz", "b.npz", "--source", source, "--source", source)
    assert done.returncode == 2 and "for one --source" in done.stderr
