import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from spcnet import checkpoints
from spcnet.bundled import weights_folder
from spcnet.checkpoints import (
    ModelCard,
    find_weights,
    list_models,
    load_checkpoint,
    save_checkpoint,
)
from spcnet.codec import PADDING, Codec
from spcnet.data.leeds import parse_numbers
from spcnet.errors import UserError
from spcnet.evaluation.overlap import runs_of
from spcnet.files import remove_leftovers
from spcnet.skeletons import LSP14
from spcnet.tensor_files import read_tensors, write_tensors


def test_a_network_comes_back_with_its_card(tiny_checkpoint: Path) -> None:
    network, card = load_checkpoint(tiny_checkpoint)
    torch.manual_seed(0)
    original = card.build().eval()
    assert not network.training
    assert card.skeleton == LSP14
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
        variant="spcnet_s2_w96", arguments={"stacks": 1}, skeleton=LSP14,
        codec=Codec(input_size=128, heatmap="softmax", sigma=1.5), scores=[{"mean": 50.25}],
        training={"seed": 3},
    )  # fmt: skip
    assert ModelCard.from_json(card.to_json()) == card
    assert json.loads(card.to_json())["box_padding"] == PADDING  # for other programs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": 160.5}, "input_size must be whole pixels from 16 to 4096, got 160.5"),
        ({"input_size": 10**6}, "input_size must be whole pixels from 16 to 4096, got 1000000"),
        ({"sigma": 0}, "sigma must be heatmap cells above 0 and at most 16, got 0"),
        ({"sigma": None}, "sigma must be heatmap cells above 0 and at most 16, got None"),
        ({"heatmap": "soft"}, "heatmap must be one of gaussian, softmax, softmax_absent, got"),
        ({"refinement": ["mass"]}, "refinement must be one of none, quarter, dark, mass, got"),
        ({"box_padding": 1.5}, "box_padding must be 1.25, as every model of ours has it, got 1.5"),
        ({"mean": [0.5, 0.5, 0.5]}, "mean must be .*, as every model of ours has it, got"),
        ({"calibration": {"peaks": [0.5, 0.2], "shares": [0, 1]}}, "peaks must be finite and rise"),
        ({"calibration": {"peaks": [0, 1], "shares": [0, 2]}}, r"shares must lie in 0\.\.1"),
        ({"calibration": {"peaks": [0, 1], "shares": [1]}}, "as many shares as peaks"),
        ({"scores": {}}, "scores must be a list, got {}"),
        ({"licence": 3}, "licence must be a text, got 3"),
        ({"calibration": {"peaks": ["0.1"], "shares": [1]}}, "peaks and shares must be numbers"),
        ({"calibration": {"peaks": [10**400], "shares": [1]}}, "a number is too large"),
        ({"calibration": []}, "its model card cannot be read: a value is of another kind"),
        ({"calibration": ""}, "its model card cannot be read: a value is of another kind"),
        ({"input_size": 76}, r"input_size must be a multiple of \d+, got 76"),
        (
            {"calibration": 7},
            "its model card cannot be read: a value is of another kind than is wanted",
        ),
        (
            {"skeleton": {"name": "x", "limbs": []}},
            "its model card cannot be read: 'joints' is missing",
        ),
        ({"skeleton": {"name": "x", "joints": [["a"]], "limbs": []}}, r"texts, got \['a'\]"),
        (
            {"skeleton": {"name": "x", "joints": [], "limbs": []}},
            "1 to 1000 joints and .* got 0",
        ),
        (
            {"skeleton": {"name": "x", "joints": [str(n) for n in range(1001)], "limbs": []}},
            "1 to 1000 joints and at most as many limbs, got 1001 and 0",
        ),
        ({"unknown": 1}, "its model card cannot be read: 'unknown' is unknown"),
        ({"arguments": {"stacks": 10**9}}, "stacks must be whole and from 1 to 64, got 1000000000"),
    ],
)
def test_a_card_of_values_out_of_range_is_refused(
    tiny_checkpoint: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    tensors, metadata = read_tensors(tiny_checkpoint)
    card = json.loads(metadata["spcnet"]) | change
    path = tmp_path / "changed.safetensors"
    write_tensors(path, tensors, {"spcnet": json.dumps(card)})
    with pytest.raises(UserError, match=message):
        load_checkpoint(path)


def test_a_card_that_is_nested_too_deeply_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    tensors, _ = read_tensors(tiny_checkpoint)
    path = tmp_path / "deep.safetensors"
    write_tensors(path, tensors, {"spcnet": "[" * 100_000 + "]" * 100_000})
    with pytest.raises(UserError, match="its model card cannot be read: it is nested too deeply"):
        load_checkpoint(path)


@pytest.mark.parametrize("change", [torch.nan, torch.inf, torch.uint16, torch.complex64])
def test_weights_that_are_no_finite_numbers_are_refused(
    tiny_checkpoint: Path, tmp_path: Path, change: float | torch.dtype
) -> None:
    tensors, metadata = read_tensors(tiny_checkpoint)
    name = "stem.1.running_var"
    if isinstance(change, torch.dtype):
        tensors[name] = tensors[name].to(change)
    else:
        tensors[name][0] = change
    path = tmp_path / "changed.safetensors"
    write_tensors(path, tensors, metadata)
    with pytest.raises(UserError, match=f"{name} holds values that are no finite numbers"):
        load_checkpoint(path)


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
    remove_leftovers(tmp_path)
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
    assert list_models(pretrained=True) == ["default", "large"]
    assert find_weights("default").parent == weights_folder()
    assert find_weights("large").parent == weights_folder().parents[2] / "weights"


def test_outside_of_a_clone_large_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    only = {"default": weights_folder() / "default.safetensors"}
    monkeypatch.setattr(checkpoints, "weights_files", lambda: only)
    with pytest.raises(UserError, match=r"'large' comes with the repository and not with the pack"):
        find_weights("large")


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
    recipes = [
        yaml.safe_load(path.read_text()) for path in root.glob("weights/default-*/recipe.yaml")
    ]
    recipes += [yaml.safe_load(path.read_text()) for path in root.glob("recipes/lspet_*.yaml")]
    for name in list_models(pretrained=True):
        _, card = load_checkpoint(find_weights(name))
        runs = list(runs_of(card.training))
        assert len(runs) >= 3
        recipes += [run["recipe"] for run in runs]
        assert card.codec.calibration is not None
        assert card.codec.calibration.fitted_on.startswith("lspet 7761-8060, ")
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
