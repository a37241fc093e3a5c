import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import RECIPES

from spcnet.checkpoints import load_checkpoint
from spcnet.data.augmentation import make_batch
from spcnet.data.datasets import SyntheticFigures
from spcnet.data.packing import pack
from spcnet.data.store import JoinedStores, PackedStore
from spcnet.errors import UserError
from spcnet.skeletons import BODY19, LSP14
from spcnet.tensor_files import read_tensors, write_tensors
from spcnet.training import state
from spcnet.training.checks import check_disjoint, check_recipe
from spcnet.training.distributed import ProcessGroup
from spcnet.training.log import Progress
from spcnet.training.loop import MOST_SKIPPED, Run, train
from spcnet.training.optimisation import learning_rate, measure_statistics, update_average
from spcnet.training.recipe import Recipe, load_recipe
from spcnet.training.run_dir import RunDirectory, RunInUseError
from spcnet.training.task import PoseTask


def recipe(**sections: Any) -> Recipe:
    """Four steps an epoch over the twelve figures, with a network of two channels a head."""
    values: dict[str, Any] = {
        "name": "test",
        "model": {
            "variant": "spcnet_s1_w64",
            "arguments": {"channels": 16},
            "input_size": 64,
        },
        "data": {"dataset": "synthetic", "train": "1-12"},
        "loss": {"kind": "softmax"},
        "optimizer": {"name": "adamw", "schedule": "cosine", "clip": 1.0},
        "training": {"epochs": 2, "batch_size": 3, "ema": 0.9, "save_minutes": 1e-9},
    }
    for section, changes in sections.items():
        values[section] = {**values.get(section, {}), **changes}
    return Recipe.model_validate(values)


def losses(run_dir: Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (run_dir / "log.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


def test_training_learns_the_figures_it_sees(figures: PackedStore, tmp_path: Path) -> None:
    plan = recipe(
        augmentation={"rotation_probability": 0, "scale": 0, "flip_probability": 0, "tint": 0},
        model={"arguments": {"channels": 32}},
        optimizer={"lr": 5e-3},
        training={"epochs": 40, "evaluate_every": 10, "save_minutes": 5},
    )
    seen: list[Progress] = []
    train(plan, figures, tmp_path / "run", holdout=figures, report=seen.append)
    scores = [progress.score.mean for progress in seen if progress.score]
    assert len(scores) == 4
    assert scores[-1] > scores[0] + 20
    curve = losses(tmp_path / "run")
    assert curve[-1][1] < 0.75 * curve[0][1]


@pytest.mark.parametrize("kind", ["gaussian", "softmax", "softmax_absent"])
def test_the_loss_of_predicting_nothing_is_reported(
    figures: PackedStore, tmp_path: Path, kind: str
) -> None:
    plan = recipe(loss={"kind": kind}, training={"epochs": 1})
    seen: list[Progress] = []
    train(plan, figures, tmp_path / "run", report=seen.append)
    (now, *_) = seen
    outputs, cells = len(now.losses), (plan.model.input_size // 4) ** 2
    assert now.nothing is not None
    if kind == "gaussian":  # a Gaussian of sigma 1 has a squared sum of pi in its cells
        assert now.nothing == pytest.approx(outputs * 0.5 * math.pi / cells, rel=0.2)
    else:
        places = cells + (kind == "softmax_absent")
        assert now.nothing == pytest.approx(outputs * math.log(places), rel=0.05)


def test_the_run_directory_holds_a_usable_model(figures: PackedStore, tmp_path: Path) -> None:
    path = train(recipe(), figures, tmp_path / "run", holdout=figures)
    network, card = load_checkpoint(path)
    assert (card.codec, card.skeleton.name) == (recipe().codec, "lsp14")
    assert (card.codec.input_size, card.codec.refinement) == (64, "mass")
    assert card.training["images"] == "1-12"
    assert card.training["epochs"] == 2
    assert card.training["recipe"]["optimizer"]["name"] == "adamw"
    assert "root" not in card.training["recipe"]["data"]
    assert card.scores[0]["score"]["protocol"] == "lspet-pck"
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 14, 16, 16)
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        ".lock", "recipe.yaml", "log.jsonl",
        "state.safetensors", "model.safetensors", "best.safetensors",
    }  # fmt: skip


def test_measured_statistics_are_those_of_the_batches_and_of_the_weights_as_they_are() -> None:
    norm = torch.nn.BatchNorm2d(2)
    norm.running_mean.fill_(9.0)
    batches = [torch.randn(4, 2, 3, 3) + n for n in range(5)]
    measure_statistics(norm, batches)
    means = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in batches])
    variances = torch.stack([batch.var(dim=(0, 2, 3)) for batch in batches])
    torch.testing.assert_close(norm.running_mean, means.mean(dim=0))
    torch.testing.assert_close(norm.running_var, variances.mean(dim=0))
    assert (norm.training, norm.momentum) == (False, 0.1)


def test_the_kept_model_has_statistics_of_its_own(figures: PackedStore, tmp_path: Path) -> None:
    plan = recipe(optimizer={"lr": 2e-2}, training={"precise_batchnorm": 6})
    path = train(plan, figures, tmp_path / "run", holdout=figures)
    network, _ = load_checkpoint(path)
    saved, _ = read_tensors(tmp_path / "run" / "state.safetensors")
    kernels = [name for name, p in network.named_parameters() if p.ndim == 4]
    for name in kernels:
        expected = saved[f"average.{name}"].half().float()
        torch.testing.assert_close(network.state_dict()[name], expected)
    name = "stem.1.running_mean"
    assert not torch.allclose(network.state_dict()[name], saved[f"average.{name}"], rtol=0.01)
    stopped = iter([False, False, True])
    for stop, resume in ((lambda: next(stopped), False), (lambda: False, True)):
        again = train(plan, figures, tmp_path / "again", holdout=figures, stop=stop, resume=resume)
    for name, tensor in load_checkpoint(again)[0].state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name


def test_worn_pictures_are_made_in_full_precision(figures: PackedStore, tmp_path: Path) -> None:
    """Of what blurs a picture, some is not there in bfloat16."""
    plan = recipe(
        augmentation={"blur_probability": 1, "jpeg_probability": 1, "dark_probability": 1},
        training={"precise_batchnorm": 2, "precision": "bf16", "epochs": 1},
    )
    path = train(plan, figures, tmp_path / "run", holdout=figures)
    assert load_checkpoint(path)[1].training["epochs"] == 1


def test_a_run_may_begin_with_the_weights_of_another(figures: PackedStore, tmp_path: Path) -> None:
    first = train(recipe(), figures, tmp_path / "first")
    still = {"weights": str(first)}
    plan = recipe(model=still, optimizer={"lr": 1e-12}, training={"epochs": 1, "ema": None})
    second = train(plan, figures, tmp_path / "second")
    (before, card), (after, later) = (load_checkpoint(path) for path in (first, second))
    assert later.training["began_with"] == card.training
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert new.detach().numpy() == pytest.approx(old.detach().numpy(), abs=1e-6), name
    wider = {**still, "arguments": {"channels": 32}}
    with pytest.raises(UserError, match=r"model\.weights.*'channels': 16.*'channels': 32"):
        train(recipe(model=wider), figures, tmp_path / "third")
    with pytest.raises(UserError, match="no such file"):
        train(recipe(model={"weights": "gone.safetensors"}), figures, tmp_path / "fourth")


def test_one_person_a_step_is_refused_where_the_network_comes_down_to_one_cell(
    figures: PackedStore, tmp_path: Path
) -> None:
    alone = {"epochs": 1, "batch_size": 1}
    small = {"variant": "hourglass_s2_w96", "arguments": {"stacks": 1, "channels": 16}}
    with pytest.raises(UserError, match=r"training\.batch_size: one person .* at 64 px"):
        train(recipe(model=small, training=alone), figures, tmp_path / "hourglass")
    train(recipe(training=alone), figures, tmp_path / "dilated")  # has 4x4 cells left


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop", "muon"])
def test_a_resumed_run_takes_the_same_steps_bit_for_bit(
    figures: PackedStore, tmp_path: Path, optimizer: str
) -> None:
    # Muon takes the kernels of layers that are wider than sixteen channels.
    plan = recipe(optimizer={"name": optimizer}, model={"arguments": {"channels": 48}})
    train(plan, figures, tmp_path / "whole")
    stretches = 0
    while True:
        # Each stretch stops at its first chance, after one step.
        train(plan, figures, tmp_path / "parts", resume=stretches > 0, stop=lambda: True)
        stretches += 1
        _, metadata = read_tensors(tmp_path / "parts" / "state.safetensors")
        if json.loads(metadata["progress"])["step"] == 8:
            break
    assert stretches == 8
    whole, _ = read_tensors(tmp_path / "whole" / "state.safetensors")
    parts, _ = read_tensors(tmp_path / "parts" / "state.safetensors")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_another_run_is_never_overwritten(figures: PackedStore, tmp_path: Path) -> None:
    train(recipe(), figures, tmp_path / "run", stop=lambda: True)
    with pytest.raises(UserError, match="already contains a run"):
        train(recipe(), figures, tmp_path / "run")
    with pytest.raises(UserError, match=r"recipe: optimizer\.lr is .* there and 0\.0001"):
        train(recipe(optimizer={"lr": 1e-4}), figures, tmp_path / "run", resume=True)


def test_data_that_moved_does_not_make_another_run(figures: PackedStore, tmp_path: Path) -> None:
    train(recipe(data={"root": "/here"}), figures, tmp_path / "run", stop=lambda: True)
    train(recipe(data={"root": "/there"}), figures, tmp_path / "run", resume=True)


def test_a_finished_run_resumes_to_nothing(figures: PackedStore, tmp_path: Path) -> None:
    train(recipe(), figures, tmp_path / "run")
    before = (tmp_path / "run" / "state.safetensors").read_bytes()
    train(recipe(), figures, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == before


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_its_batch(
    figures: PackedStore, tmp_path: Path
) -> None:
    plan = recipe(
        optimizer={"lr": 1e30, "clip": None},
        loss={"kind": "gaussian"},
        training={"save_minutes": 5},
    )
    with pytest.raises(UserError, match=r"optimizer\.lr") as raised:
        train(plan, figures, tmp_path / "run")
    (kept,) = (tmp_path / "run").glob("not-finite-step*.safetensors")
    assert str(kept) in str(raised.value)
    tensors, _ = read_tensors(kept)
    assert tensors["images"].shape == (3, 3, 64, 64)
    assert tensors["persons"].shape == (3,)
    assert any(name.startswith("network.") for name in tensors)


def test_parts_of_a_step_add_up_to_the_whole(figures: PackedStore, tmp_path: Path) -> None:
    """With frozen statistics, four persons at once or one after the other are the same step."""
    curves = []
    for parts in (1, 4):
        plan = recipe(
            training={
                "batch_size": 4, "accumulate": parts, "precision": "fp64",
                "frozen_batchnorm": True, "epochs": 3,
            },
            # So large an eps makes a step as long as its gradient: a wrong scale would show.
            optimizer={
                "name": "rmsprop", "eps": 1e3, "lr": 20, "clip": None, "schedule": "step",
                "milestones": [],
            },
        )  # fmt: skip
        train(plan, figures, tmp_path / str(parts))
        curves.append([loss for _, loss in losses(tmp_path / str(parts))])
    assert curves[0][-1] < curves[0][0] - 0.1
    assert curves[1] == pytest.approx(curves[0], rel=1e-7)  # crops are made in float32
    with pytest.raises(UserError, match=r"batch_size: 3 persons .* use a multiple of 2"):
        train(recipe(training={"accumulate": 2}), figures, tmp_path / "odd")


def test_checkpointing_changes_memory_and_nothing_else(
    figures: PackedStore, tmp_path: Path
) -> None:
    states = []
    for checkpointing in (False, True):
        plan = recipe(training={"checkpointing": checkpointing})
        train(plan, figures, tmp_path / str(checkpointing))
        states.append(read_tensors(tmp_path / str(checkpointing) / "state.safetensors")[0])
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp64"])
def test_other_precisions_learn_as_float32_does(
    figures: PackedStore, tmp_path: Path, precision: str
) -> None:
    curves = {}
    for name in ("fp32", precision):
        plan = recipe(training={"precision": name, "epochs": 3}, optimizer={"lr": 1e-3})
        train(plan, figures, tmp_path / name, resume=False)
        curves[name] = [loss for _, loss in losses(tmp_path / name)]
    assert curves[precision] == pytest.approx(curves["fp32"], rel=0.02)
    assert curves[precision][-1] < curves[precision][0]


def test_a_resumed_fp16_run_keeps_its_loss_scale(figures: PackedStore, tmp_path: Path) -> None:
    plan = recipe(training={"precision": "fp16"})
    train(plan, figures, tmp_path / "run", stop=lambda: True)
    _, metadata = read_tensors(tmp_path / "run" / "state.safetensors")
    before = json.loads(metadata["progress"])["scaler"]
    assert before["scale"] > 0
    train(plan, figures, tmp_path / "run", resume=True)
    _, metadata = read_tensors(tmp_path / "run" / "state.safetensors")
    after = json.loads(metadata["progress"])["scaler"]
    assert (
        after["_growth_tracker"] == before["_growth_tracker"] + 7
        or after["scale"] < before["scale"]
    )


def test_the_best_model_is_kept(
    figures: PackedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spcnet.training import task

    means = iter([30.0, 50.0, 40.0])

    def scored(*arguments: Any, **options: Any) -> Any:
        from spcnet.metrics.protocols import Score

        return Score("lspet-pck", next(means), {}, {}, 12), {}

    monkeypatch.setattr(task, "score_store", scored)
    train(recipe(training={"epochs": 3}), figures, tmp_path / "run", holdout=figures)
    _, best = load_checkpoint(tmp_path / "run" / "best.safetensors")
    _, last = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert (best.scores[0]["epoch"], best.scores[0]["score"]["mean"]) == (2, 50)
    assert (last.scores[0]["epoch"], last.scores[0]["score"]["mean"]) == (3, 40)


@pytest.mark.parametrize("field", ["sync_batchnorm", "compile"])
def test_what_a_cpu_does_not_have_is_refused(
    figures: PackedStore, tmp_path: Path, field: str
) -> None:
    with pytest.raises(UserError, match=rf"training\.{field}: .*set it to false"):
        train(recipe(training={field: True}), figures, tmp_path / "run")


def test_a_run_is_not_resumed_with_other_teaching(figures: PackedStore, tmp_path: Path) -> None:
    train(recipe(), figures, tmp_path / "run", stop=lambda: True)
    other = recipe(data={"opinions": "o.json"})
    with pytest.raises(
        UserError, match=r"another model's points for parts \[\].* for parts \[0\]; name"
    ):
        train(other, figures, tmp_path / "run", resume=True)


def test_a_directory_in_use_is_refused(figures: PackedStore, tmp_path: Path) -> None:
    import subprocess
    import sys

    train(recipe(), figures, tmp_path / "run", stop=lambda: True)
    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.flock(f, fcntl.LOCK_EX); "
            "print('held', flush=True); sys.stdin.read()",
            tmp_path / "run" / ".lock",
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UserError, match=r"another process is training here; wait"):
            train(recipe(), figures, tmp_path / "run", resume=True)
    finally:
        holder.kill()
        holder.wait()
    train(recipe(), figures, tmp_path / "run", resume=True)  # the dead let go


def test_a_disk_that_is_nearly_full_is_told_before_the_first_step(
    figures: PackedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match="the disk has 0 MB left and the run's checkpoints need"):
        train(recipe(), figures, tmp_path / "run")


def test_a_run_that_stopped_before_it_saved_begins_anew(
    figures: PackedStore, tmp_path: Path
) -> None:
    train(recipe(), figures, tmp_path / "whole")
    train(recipe(), figures, tmp_path / "run", stop=lambda: True)
    for name in ("state", "model"):
        (tmp_path / "run" / f"{name}.safetensors").unlink()
    train(recipe(), figures, tmp_path / "run", resume=True)
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_a_run_whose_state_is_gone_is_not_begun_anew(figures: PackedStore, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(recipe(), figures, run)

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in run.glob("[lmr]*")}

    before = content()
    (run / "state.safetensors").unlink()
    with pytest.raises(UserError, match=r"state\.safetensors is gone.*model\.weights=.*model\."):
        train(recipe(), figures, run, resume=True)
    assert content() == before
    assert any(name.startswith("model") for name in before)


def test_a_run_killed_between_its_last_two_files_gets_its_model(
    figures: PackedStore, tmp_path: Path
) -> None:
    model = train(recipe(), figures, tmp_path / "run")
    tensors, metadata = read_tensors(model)
    model.unlink()
    train(recipe(), figures, tmp_path / "run", resume=True)
    again = read_tensors(model)
    assert again[1] == metadata
    assert all(torch.equal(again[0][name], tensors[name]) for name in tensors)


def test_held_out_pictures_must_be_others(figures: PackedStore, tmp_path: Path) -> None:
    pack(SyntheticFigures("13-14"), tmp_path / "others")
    pack(SyntheticFigures("12-13"), tmp_path / "same")
    check_disjoint(figures.pictures & PackedStore(tmp_path / "others").pictures)
    with pytest.raises(UserError, match=r"share 1 picture, such as synthetic/figure000012\.png"):
        check_disjoint(figures.pictures & PackedStore(tmp_path / "same").pictures)
    keys = PackedStore(tmp_path / "same").persons.keys
    assert keys.tolist() == ["figure000012.png", "figure000013.png"]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"variant": "spcnet_s1_w46"}, "unknown model 'spcnet_s1_w46'; did you mean"),
        ({"input_size": 100}, "multiples of 16; the nearest is 96 x 96"),
        ({"arguments": {"channels": 15}}, "channels must be even"),
        (
            {"weights": "defautl"},
            r"model\.weights: unknown model 'defautl'; did you mean",
        ),
        ({"weights": "."}, r"model\.weights: \.: a model's file ends in \.safetensors"),
    ],
)
def test_a_network_that_cannot_be_is_told_before_anything_is_packed(
    model: dict[str, Any], told: str
) -> None:
    check_recipe(recipe())
    with pytest.raises(UserError, match=told):
        check_recipe(recipe(model=model))


def test_a_full_disk_is_told(
    figures: PackedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    def disk_full(*arguments: object, **options: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("spcnet.tensor_files.save_file", disk_full)
    with pytest.raises(UserError, match="No space left"):
        train(recipe(), figures, tmp_path / "run")


def test_resuming_nothing_is_an_error_and_leaves_nothing(
    figures: PackedStore, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no checkpoint to resume from"):
        train(recipe(), figures, tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_schedules_by_hand() -> None:
    step = recipe(optimizer={"schedule": "step", "lr": 1.0, "milestones": [2, 3]})
    rates = [learning_rate(step, n, 40, 10) for n in (0, 19, 20, 29, 30, 39)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    cosine = recipe(optimizer={"schedule": "cosine", "lr": 1.0, "warmup_steps": 10})
    rates = [learning_rate(cosine, n, 110, 10) for n in (0, 4, 9, 10, 60, 110)]
    assert rates == pytest.approx([0.1, 0.5, 1, 1, 0.5, 0])


def test_the_average_starts_warm_and_then_decays() -> None:
    average, network = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(average.weight)
    torch.nn.init.ones_(network.weight)
    update_average(average, network, 0.99, step=0)
    assert average.weight.item() == pytest.approx(0.9)
    torch.nn.init.zeros_(average.weight)
    update_average(average, network, 0.99, step=10**6)
    assert average.weight.item() == pytest.approx(0.01)


def test_every_person_is_seen_once_an_epoch() -> None:
    from spcnet.data.datasets import shuffled

    first, second = shuffled(50, seed=0, epoch=1), shuffled(50, seed=0, epoch=2)
    assert np.array_equal(np.sort(first), np.arange(50))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, shuffled(50, seed=0, epoch=1))


def test_several_stores_are_learned_from_and_resumed_wherever_they_lie(
    figures: PackedStore, tmp_path: Path
) -> None:
    pack(SyntheticFigures("13-15"), tmp_path / "more")
    both = JoinedStores([figures, PackedStore(tmp_path / "more")])
    more = [{"dataset": "synthetic", "split": "13-15"}]
    whole = recipe(data={"more": more}, training={"epochs": 2})
    train(whole, both, tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 2  # of five steps each
    stops = iter([False] * 6 + [True])
    train(whole, both, tmp_path / "cut", stop=lambda: next(stops))
    moved = recipe(
        data={"root": "/elsewhere", "more": [{**more[0], "root": "/there"}]},
        training={"epochs": 2},
    )
    train(moved, both, tmp_path / "cut", resume=True)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    ends = [read_tensors(tmp_path / run / "state.safetensors")[0] for run in ("whole", "cut")]
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())
    card = load_checkpoint(tmp_path / "cut" / "model.safetensors")[1]
    assert card.training["images"] == "1-12 + synthetic 13-15"


def test_a_picture_of_another_data_set_may_have_the_same_name(
    figures: PackedStore, tmp_path: Path
) -> None:
    class Others(SyntheticFigures):
        name = "others"

    pack(Others("1-3"), tmp_path / "others")
    others = PackedStore(tmp_path / "others")
    check_disjoint(figures.pictures & others.pictures)
    with pytest.raises(UserError, match="share 3 pictures, such as others/figure000001"):
        check_disjoint(JoinedStores([figures, others]).pictures & others.pictures)


def begun(plan: Recipe, store: PackedStore, folder: Path) -> Run:
    run = Run(plan, PoseTask(plan, store), RunDirectory(folder), ProcessGroup())
    run.open(resume=False)
    return run


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_spoils_the_weights(
    figures: PackedStore, tmp_path: Path
) -> None:
    run = begun(recipe(optimizer={"clip": None}), figures, tmp_path / "run")
    weights = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    assert isinstance(run.network.head, torch.nn.Conv2d)
    run.network.head.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(UserError, match=r"the gradient's norm became (inf|nan) at step 1"):
        run.take_step(*next(run.batches()))
    assert (tmp_path / "run" / "not-finite-step1.safetensors").is_file()
    for name, parameter in run.network.named_parameters():
        assert torch.equal(parameter, weights[name]), name


def test_fp16_leaves_out_steps_that_overflow_but_not_for_ever(
    figures: PackedStore, tmp_path: Path
) -> None:
    run = begun(recipe(training={"precision": "fp16"}), figures, tmp_path / "run")
    weights = {name: tensor.clone() for name, tensor in run.network.named_parameters()}
    assert isinstance(run.network.head, torch.nn.Conv2d)
    run.network.head.weight.register_hook(lambda gradient: gradient * math.inf)
    scale = run.scaler.get_scale()
    batches = run.batches()
    for _ in range(2):
        run.take_step(*next(batches))
    assert run.scaler.get_scale() == scale / 4
    for name, parameter in run.network.named_parameters():
        assert torch.equal(parameter, weights[name]), name
    run.skipped = MOST_SKIPPED
    with pytest.raises(UserError, match="the gradient's norm became"):
        run.take_step(*next(batches))


def test_a_resumed_optimiser_is_laid_out_in_memory_as_it_was(
    figures: PackedStore, tmp_path: Path
) -> None:
    plan = recipe(training={"epochs": 1})
    whole = begun(plan, figures, tmp_path / "run")
    whole.go(lambda progress: None, stop=lambda: False)
    directory = RunDirectory(tmp_path / "run")
    again = Run(plan, PoseTask(plan, figures), directory, ProcessGroup())
    again.open(resume=True)
    assert again.finished
    kernels = 0
    for mine, theirs in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        for name, moment in whole.optimizer.state[mine].items():
            resumed = again.optimizer.state[theirs][name]
            assert torch.equal(moment, resumed)
            assert moment.stride() == resumed.stride(), name
            kernels += moment.ndim == 4 and not moment.is_contiguous()
    assert kernels > 0


def test_other_data_are_not_gone_on_with(figures: PackedStore, tmp_path: Path) -> None:
    pack(SyntheticFigures("1-9"), tmp_path / "fewer")
    train(recipe(training={"epochs": 1}), figures, tmp_path / "run")
    with pytest.raises(UserError, match=r"learned from 12 persons .* these data are 9"):
        train(
            recipe(training={"epochs": 1}), PackedStore(tmp_path / "fewer"), tmp_path / "run",
            resume=True,
        )  # fmt: skip


def test_a_store_may_move_between_a_stop_and_a_resume(figures: PackedStore, tmp_path: Path) -> None:
    for folder in ("here", "there"):
        plan = recipe(data={"dataset": "store", "train": folder})
        train(plan, figures, tmp_path / "run", resume=None, stop=lambda: True)
    assert read_tensors(tmp_path / "run" / "state.safetensors")[1]["progress"].startswith(
        '{"step": 2'
    )


def test_a_run_of_an_older_version_has_the_defaults_of_newer_fields(
    figures: PackedStore, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(recipe(), figures, run, stop=lambda: True)
    tensors, metadata = read_tensors(run / "state.safetensors")
    saved = json.loads(metadata["run"])
    del saved["recipe"]["augmentation"]["part_probability"]
    write_tensors(run / "state.safetensors", tensors, metadata | {"run": json.dumps(saved)})
    train(recipe(), figures, run, resume=True, stop=lambda: True)
    changed = recipe(augmentation={"part_probability": 0.5})
    with pytest.raises(UserError, match="another recipe"):
        train(changed, figures, run, resume=True)


def test_a_directory_that_another_holds_stays_theirs(tmp_path: Path) -> None:
    """Both found no directory; the second must not take the first one's away."""
    first, second = RunDirectory(tmp_path / "run"), RunDirectory(tmp_path / "run")
    with first.held():
        (tmp_path / "run" / ".state.safetensors.partial-elsewhere-1").write_text("half")
        with pytest.raises(RunInUseError, match="is training here"), second.held():
            pass
        assert (tmp_path / "run" / ".lock").is_file()
        assert (tmp_path / "run" / ".state.safetensors.partial-elsewhere-1").is_file()
    assert not (tmp_path / "run").exists()  # nothing began
    with second.held():
        second.begin(recipe())
        (tmp_path / "run" / ".state.safetensors.partial-elsewhere-1").write_text("half")
    with first.held():
        left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {"recipe.yaml", "log.jsonl", ".lock"}


def test_memory_that_does_not_suffice_is_the_users_to_mend(
    figures: PackedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(PoseTask, "losses", full)
    with pytest.raises(UserError, match=r"out of memory \(CUDA.*\): use a smaller training.batch"):
        train(recipe(), figures, tmp_path / "run")


def test_the_squeeze_begins_at_zero_and_goes_slowly(figures: PackedStore, tmp_path: Path) -> None:
    run = begun(recipe(optimizer={"weight_decay": 0.1}), figures, tmp_path / "ours")
    squeeze = dict(run.network.named_parameters())["distribute.squeeze.weight"]
    assert (squeeze == 0).all()
    *_, slow = run.optimizer.param_groups
    assert [parameter is squeeze for parameter in slow["params"]] == [True, False]
    assert (slow["rate"], slow["weight_decay"]) == (2 / 16, 0)
    run.take_step(*next(run.batches()))
    rates = [group["lr"] for group in run.optimizer.param_groups]
    assert rates[0] == rates[1] == pytest.approx(1e-3)
    assert rates[2] == pytest.approx(1e-3 / 8)
    assert 0 < squeeze.abs().max() <= 1e-3 / 8 * 1.01

    plan = recipe(model={"squeeze": "literal"}, optimizer={"squeeze_rate": 1.0})
    literal = begun(plan, figures, tmp_path / "literal")
    assert dict(literal.network.named_parameters())["distribute.squeeze.weight"].abs().max() > 0.01
    assert literal.optimizer.param_groups[2]["rate"] == 1


@pytest.mark.parametrize("name", ["mpii_paper", "lsp_paper", "lspet_paper", "flic_paper"])
def test_the_papers_recipes_have_the_squeeze_as_it_is_written(name: str) -> None:
    plan = load_recipe(RECIPES / f"{name}.yaml")
    assert (plan.model.squeeze, plan.optimizer.squeeze_rate) == ("literal", 1)


def test_weights_of_other_joints_are_taken_over_by_name(
    figures: PackedStore, tmp_path: Path
) -> None:
    old = recipe(model={"arguments": {"stacks": 2, "channels": 16}}, training={"ema": None})
    train(old, figures, tmp_path / "old")
    before, _ = load_checkpoint(tmp_path / "old" / "model.safetensors")
    joined = JoinedStores([figures], skeleton=BODY19)
    model = {**old.model.model_dump(), "weights": str(tmp_path / "old" / "model.safetensors")}
    anew = ["distribute.squeeze"]
    run = begun(recipe(model={**model, "anew": anew}), joined, tmp_path / "new")
    assert (dict(run.network.named_parameters())["distribute.squeeze.weight"] == 0).all()
    run = begun(recipe(model=model), joined, tmp_path / "whole")
    images = torch.randn(2, 3, 64, 64)
    shared = [BODY19.index(joint) for joint in LSP14.joints]
    found = run.network.eval().forward_all(images).heatmaps
    for mine, theirs in zip(found, before.forward_all(images).heatmaps, strict=True):
        assert mine.shape[1] == 19
        torch.testing.assert_close(mine[:, shared], theirs, rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match=r"model\.anew: .* no module 'neck'; it has stem"):
        begun(recipe(model={**model, "anew": ["neck"]}), joined, tmp_path / "wrong")


def test_several_sources_are_scored_each_and_the_best_goes_by_their_mean(
    figures: PackedStore, tmp_path: Path
) -> None:
    held = JoinedStores([figures, figures], titles=["one", "other"])
    train(recipe(), figures, tmp_path / "run", holdout=held)
    lines = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    entries = [line for line in lines if "score" in line]
    assert len(entries) == 2
    for entry in entries:
        assert list(entry["sources"]) == ["one", "other"]
        assert entry["sources"]["one"] == entry["sources"]["other"]
        assert entry["score"]["protocol"] == "torso-pck"
        assert entry["score"]["persons"] == 2 * entry["sources"]["one"]["persons"]
    _, card = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert [score["data"] for score in card.scores] == ["one, held out", "other, held out"]


def test_a_small_source_weighs_as_much_as_a_large_one_in_the_choice_of_the_best(
    figures: PackedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spcnet.metrics.protocols import Score
    from spcnet.training import task

    # Of all persons, of the large source and of the small one: the second epoch is best by the
    # sources' mean, the third by all persons.
    found = iter([(50.0, 50.0, 50.0), (60.0, 55.0, 90.0), (70.0, 70.0, 60.0)])

    def scored(*arguments: Any, **options: Any) -> Any:
        both, large, small = (Score("torso-pck", mean, {}, {}, 12) for mean in next(found))
        return both, {"large": large, "small": small}

    monkeypatch.setattr(task, "score_store", scored)
    run = tmp_path / "run"
    train(recipe(training={"epochs": 3}), figures, run, holdout=figures)
    _, best = load_checkpoint(run / "best.safetensors")
    assert {score["epoch"] for score in best.scores} == {2}
    assert [score["score"]["mean"] for score in best.scores] == [55, 90]
    # The log has the persons of all sources as well.
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    entries = [line for line in lines if "score" in line]
    assert [entry["score"]["mean"] for entry in entries] == [50, 60, 70]
    assert [entry["sources"]["small"]["mean"] for entry in entries] == [50, 90, 60]


def test_a_card_says_which_part_of_each_source_was_held_out(
    figures: PackedStore, tmp_path: Path
) -> None:
    """Also of two sources of one name."""
    held = JoinedStores([figures, figures], titles=["synthetic", "synthetic"])
    more = [
        {"dataset": "synthetic", "split": "13-15"},
        {"dataset": "synthetic", "split": "16-18", "holdout": "40-44"},
    ]
    plan = recipe(data={"holdout": "20-31", "more": more}, training={"epochs": 1})
    train(plan, figures, tmp_path / "run", holdout=held)
    _, card = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert [score["data"] for score in card.scores] == [
        "synthetic 20-31, held out", "synthetic 2 40-44, held out"
    ]  # fmt: skip


def test_persons_that_were_drawn_again_are_kept_by_their_own_numbers(
    figures: PackedStore, tmp_path: Path
) -> None:
    both = JoinedStores([figures, figures], shares=[0.1, 0.9])
    run = begun(recipe(optimizer={"clip": None}), both, tmp_path / "run")  # type: ignore[arg-type]
    assert isinstance(run.network.head, torch.nn.Conv2d)
    run.network.head.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(UserError, match="the gradient's norm"):
        run.take_step(1, np.array([3, 23 + 24, 13 + 48]))
    kept, _ = read_tensors(tmp_path / "run" / "not-finite-step1.safetensors")
    assert kept["persons"].tolist() == [3, 23, 13]


def test_a_run_with_shares_resumes_with_the_steps_that_would_have_followed(
    figures: PackedStore, tmp_path: Path
) -> None:
    pack(SyntheticFigures("13-15"), tmp_path / "more", side=64)
    store = JoinedStores([figures, PackedStore(tmp_path / "more")], shares=[0.4, 0.6])
    plan = recipe(augmentation={"cut_probability": 0.5, "neighbour_probability": 0.5})
    train(plan, store, tmp_path / "whole")
    stops = iter([False] * 5 + [True])
    train(plan, store, tmp_path / "cut", stop=lambda: next(stops))
    train(plan, store, tmp_path / "cut", resume=True)
    ends = [read_tensors(tmp_path / run / "state.safetensors")[0] for run in ("whole", "cut")]
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


def test_weights_that_no_file_can_hold_leave_the_last_checkpoint_as_it_was(
    figures: PackedStore, tmp_path: Path
) -> None:
    run = begun(recipe(training={"epochs": 1}), figures, tmp_path / "run")
    state.save(run)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.safetensors")}
    with torch.no_grad():
        run.average.stem[0].weight.fill_(1e5)
    with pytest.raises(UserError, match=r"stem\.0\.weight holds values .* too large for fp16"):
        state.save(run)
    after = {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.safetensors")}
    assert after == before and set(before) == {"state.safetensors", "model.safetensors"}


def test_the_kept_models_statistics_are_of_the_shares_that_were_learned_from(
    figures: PackedStore, tmp_path: Path
) -> None:
    both = JoinedStores([figures, figures], shares=[0.0001, 0.9999])
    run = begun(recipe(), both, tmp_path / "run")
    drawn: list[int] = []
    run.task.make_batch = lambda store, rows, **how: (  # type: ignore[method-assign]
        drawn.extend(rows % len(store)) or make_batch(store, rows, **how)  # type: ignore[func-returns-value]
    )
    run.task.random_images(0, 8)
    assert len(drawn) == 8
    assert min(drawn) >= 12  # of the second store alone
