from pathlib import Path

import pytest
import torch

from spcnet.checkpoints import (
    ModelCard,
    find_weights,
    list_models,
    load_checkpoint,
    read_tensors,
    save_checkpoint,
    weights_folder,
    write_tensors,
)
from spcnet.errors import UserError
from spcnet.geometry import IMAGENET_MEAN
from spcnet.skeletons import LSP14


def test_a_network_comes_back_with_its_card(tiny_checkpoint: Path) -> None:
    network, card = load_checkpoint(tiny_checkpoint)
    torch.manual_seed(0)
    original = card.build().eval()
    assert not network.training
    assert card.skeleton == LSP14
    assert card.mean == IMAGENET_MEAN
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network(images), original(images), atol=0.02)
    for name, tensor in original.state_dict().items():
        if tensor.is_floating_point():
            assert torch.equal(network.state_dict()[name], tensor.half().float()), name


def test_files_are_fp16_and_readable_by_everyone(tiny_checkpoint: Path) -> None:
    tensors, metadata = read_tensors(tiny_checkpoint)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert metadata["format"] == "pt"
    assert tiny_checkpoint.stat().st_mode & 0o444 == 0o444


def test_a_card_survives_json() -> None:
    card = ModelCard(
        variant="spcnet_s2_w96", arguments={"stacks": 1}, skeleton=LSP14, input_size=128,
        heatmap="softmax", sigma=1.5, scores=[{"mean": 50.25}], training={"seed": 3},
    )  # fmt: skip
    assert ModelCard.from_json(card.to_json()) == card


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.safetensors"
    write_tensors(path, {"a": torch.ones(3)}, {})
    before = path.read_bytes()

    def disk_full(*arguments: object, **options: object) -> None:
        Path(str(arguments[1])).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spcnet.checkpoints.save_file", disk_full)
    with pytest.raises(OSError, match="No space"):
        write_tensors(path, {"a": torch.zeros(3)}, {})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_is_no_checkpoint_is_told(tmp_path: Path, tiny_checkpoint: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(UserError, match="no such file"):
        load_checkpoint(path)
    path.write_bytes(tiny_checkpoint.read_bytes()[:5000])
    with pytest.raises(UserError, match="not a whole"):
        load_checkpoint(path)
    write_tensors(path, {"a": torch.ones(1)}, {})
    with pytest.raises(UserError, match="no spcnet model card"):
        load_checkpoint(path)
    network, card = load_checkpoint(tiny_checkpoint)
    state = network.state_dict()
    state.pop("head.weight")
    save_checkpoint(path, state, card)
    with pytest.raises(UserError, match=r"do not agree: .*head\.weight") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_names_and_patterns() -> None:
    assert "spcnet_s8_w256" in list_models()
    assert list_models("hourglass_sim*") == ["hourglass_sim_s8_w256"]
    assert list_models(pretrained=True) == ["default"]
    assert find_weights("default").parent == weights_folder()


def test_the_bundled_models_tell_all_about_themselves() -> None:
    for name in list_models(pretrained=True):
        path = find_weights(name)
        assert path.stat().st_size < 25e6
        _, card = load_checkpoint(path)
        assert card.version and "NOTICE" in card.licence
        assert {"dataset", "images", "seed", "epochs", "minutes", "machine", "recipe"} <= set(
            card.training
        )
        on_validation = [entry for entry in card.scores if "val" in entry["data"]]
        assert {entry["flip"] for entry in on_validation} == {False, True}
        for entry in on_validation:
            assert entry["score"]["protocol"] == "lspet-pck"
            assert entry["command"].startswith("spcnet evaluate")
