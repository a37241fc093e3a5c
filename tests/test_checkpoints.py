import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from spcnet.bundled import weights_folder
from spcnet.checkpoints import (
    ModelCard,
    find_weights,
    list_models,
    load_checkpoint,
    save_checkpoint,
)
from spcnet.cli.unseen import runs_of
from spcnet.data.leeds import parse_numbers
from spcnet.errors import UserError
from spcnet.files import remove_leftovers
from spcnet.geometry import IMAGENET_MEAN
from spcnet.skeletons import LSP14
from spcnet.tensor_files import read_tensors, write_tensors


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
            kept = tensor.half().float() if tensor.ndim > 1 else tensor
            assert torch.equal(network.state_dict()[name], kept), name


def test_kernels_are_fp16_norms_fp32_and_files_readable_by_everyone(tiny_checkpoint: Path) -> None:
    tensors, metadata = read_tensors(tiny_checkpoint)
    assert {tensor.dtype for tensor in tensors.values() if tensor.ndim > 1} == {torch.float16}
    assert {tensor.dtype for tensor in tensors.values() if tensor.ndim <= 1} == {torch.float32}
    assert metadata["format"] == "pt"
    assert tiny_checkpoint.stat().st_mode & 0o444 == 0o444


def test_norms_beyond_fp16_come_back_and_what_is_not_finite_is_not_written(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    network, card = load_checkpoint(tiny_checkpoint)
    state = dict(network.state_dict())
    state["stem.1.running_var"] = torch.full_like(state["stem.1.running_var"], 1e5)
    save_checkpoint(tmp_path / "large.safetensors", state, card)
    again, _ = load_checkpoint(tmp_path / "large.safetensors")
    assert (again.state_dict()["stem.1.running_var"] == 1e5).all()
    for name, value in (("stem.0.weight", 1e5), ("stem.1.bias", float("nan"))):
        broken = {**state, name: torch.full_like(state[name], value)}
        with pytest.raises(UserError, match=rf"not written: {name} holds values that are not"):
            save_checkpoint(tmp_path / "broken.safetensors", broken, card)
    assert not (tmp_path / "broken.safetensors").exists()


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

    monkeypatch.setattr("spcnet.tensor_files.save_file", disk_full)
    with pytest.raises(OSError, match="No space"):
        write_tensors(path, {"a": torch.zeros(3)}, {})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


KILLED = """
import os, sys
from pathlib import Path
import torch
from spcnet import tensor_files

def save_file(tensors, path, metadata):
    Path(path).with_name(".tmpAbCdEf").write_bytes(b"half")  # as safetensors begins
    os._exit(9)

tensor_files.save_file = save_file
tensor_files.write_tensors(sys.argv[1], {"a": torch.zeros(3)}, {})
"""


def test_what_a_killed_write_leaves_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_tensors(path, {"a": torch.ones(3)}, {})
    assert subprocess.run([sys.executable, "-c", KILLED, path], check=False).returncode == 9
    assert len(list(tmp_path.iterdir())) == 2
    remove_leftovers(tmp_path, older_than=0)
    assert list(tmp_path.iterdir()) == [path]
    assert read_tensors(path)[0]["a"].tolist() == [1, 1, 1]


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
        on_validation = [entry for entry in card.scores if "command" in entry]
        assert {entry["flip"] for entry in on_validation} == {False, True}
        for entry in on_validation:
            assert "val" in entry["data"]
            assert entry["score"]["protocol"] in ("lspet-pck", "torso-pck")
            assert entry["command"].startswith("spcnet evaluate")


def test_no_bundled_model_or_recipe_has_seen_a_validation_image() -> None:
    """Images 8061-8860 are neither learned from, chosen by, nor calibrated on; and parts differ."""
    root = Path(__file__).parents[1]
    recipes = [yaml.safe_load(path.read_text()) for path in root.glob("weights/*/recipe.yaml")]
    recipes += [yaml.safe_load(path.read_text()) for path in root.glob("recipes/lspet_*.yaml")]
    for name in list_models(pretrained=True):
        _, card = load_checkpoint(find_weights(name))
        runs = list(runs_of(card.training))
        assert len(runs) >= 3
        recipes += [run["recipe"] for run in runs]
        assert card.calibration is not None
        assert card.calibration.told.startswith("lspet 7761-8060, ")
    for recipe in recipes:
        data = recipe["data"]
        assert data["dataset"] == "lspet"
        learned, chosen = (set(parse_numbers(data[part], 8060)) for part in ("train", "holdout"))
        assert not learned & chosen
        for source in data.get("more") or []:
            assert source["split"] == ("all" if source["dataset"] == "unlabelled" else "train")
            assert source.get("holdout") in (None, "val")
    assert len(recipes) >= 9


def test_committed_runs_do_not_say_where_their_data_lay() -> None:
    root = Path(__file__).parents[1]
    runs = [*root.glob("weights/*/recipe.yaml"), *root.glob("benchmarks/*/*/recipe.yaml")]
    assert len(runs) >= 27
    for run in runs:
        data = yaml.safe_load(run.read_text())["data"]
        for part in (data, *(data.get("more") or [])):
            places = [part.get("root") or "", part.get("opinions") or ""]
            assert not any("/" in place for place in places), run


def test_a_large_model_is_written_in_parts_and_used_by_its_one_name(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, card = load_checkpoint(tiny_checkpoint)
    path = tmp_path / "mine.safetensors"
    save_checkpoint(path, network.state_dict(), card)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.safetensors"]
    monkeypatch.setattr("spcnet.checkpoints.LARGEST", 10_000)
    monkeypatch.setattr("spcnet.tensor_files.SHARD_BYTES", 20_000)
    save_checkpoint(path, network.state_dict(), card)
    index = tmp_path / "mine.safetensors.index.json"
    shards = sorted(set(tmp_path.iterdir()) - {index})
    assert index.is_file() and not path.is_file() and len(shards) > 1
    assert max(shard.stat().st_size for shard in shards) < 40_000  # with the card
    assert find_weights(str(path)) == path
    again, same = load_checkpoint(path)
    assert same == card
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    with pytest.raises(UserError, match="one part of a model"):
        load_checkpoint(shards[0])
    # Other weights take the place of all parts, in whatever form.
    save_checkpoint(path, {n: t + 1 for n, t in network.state_dict().items()}, card)
    assert not set(shards) & set(tmp_path.iterdir())
    shards = sorted(tmp_path.glob("mine-*.safetensors"))
    shards[-1].unlink()
    with pytest.raises(UserError, match=rf"its part {shards[-1].name} is missing"):
        load_checkpoint(path)
    monkeypatch.undo()
    save_checkpoint(path, network.state_dict(), card)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.safetensors"]


def test_a_write_in_parts_that_fails_leaves_the_old_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spcnet.tensor_files.SHARD_BYTES", 40)
    path = tmp_path / "state.safetensors"
    old = {name: torch.full((8,), n * 1.0) for n, name in enumerate("abc")}
    write_tensors(path, old, {"told": "old"}, largest=50)
    import spcnet.tensor_files

    write = spcnet.tensor_files._write_one
    left = [2]

    def disk_full(*arguments: object) -> None:
        left[0] -= 1
        if not left[0]:
            raise OSError(28, "No space left on device")
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("spcnet.tensor_files._write_one", disk_full)
    with pytest.raises(OSError, match="No space"):
        write_tensors(path, {name: t + 9 for name, t in old.items()}, {}, largest=50)
    tensors, metadata = read_tensors(path)
    assert metadata["told"] == "old"
    assert all(torch.equal(tensors[name], tensor) for name, tensor in old.items())
    monkeypatch.setattr("spcnet.tensor_files._write_one", write)
    write_tensors(path, {"a": torch.ones(1)}, {}, largest=50)
    assert [file.name for file in tmp_path.iterdir()] == ["state.safetensors"]


def test_an_index_that_is_none_is_told(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    path = tmp_path / "model.safetensors"
    elsewhere = '{"metadata": {}, "weight_map": {"a": "../b"}}'
    wrong = {"{": "not an index", '{"metadata": {}}': "not an index", elsewhere: "another folder"}
    for text, told in wrong.items():
        index.write_text(text)
        with pytest.raises(UserError, match=told):
            read_tensors(path)
