"""Learning from another network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_loop import recipe

from spcnet.checkpoints import load_checkpoint, save_checkpoint
from spcnet.data.augmentation import make_batch
from spcnet.data.store import JoinedStores, PackedStore
from spcnet.errors import UserError
from spcnet.skeletons import BODY19, COCO17, LSP14
from spcnet.training.loop import train
from spcnet.training.weights import Teacher


@pytest.fixture
def teacher(tiny_checkpoint: Path) -> Teacher:
    return Teacher(str(tiny_checkpoint), skeleton=LSP14, device=torch.device("cpu"))


def test_a_teacher_gives_probabilities_of_its_own_softmax(teacher: Teacher) -> None:
    images = torch.randn(2, 3, 64, 64)
    places = teacher.look(images, cells=16)
    assert places.shape == (2, 14, 16, 16)
    with torch.no_grad():
        expected = teacher.network(images).flatten(-2).softmax(-1).view_as(places)
    assert torch.allclose(places, expected, atol=1e-6)


@pytest.mark.parametrize("cells", [8, 24, 32])
def test_maps_of_another_size_keep_the_mass_and_its_middle(teacher: Teacher, cells: int) -> None:
    images = torch.randn(2, 3, 4 * cells, 4 * cells)
    own = torch.nn.functional.interpolate(
        images, size=(64, 64), mode="bilinear", align_corners=False, antialias=True
    )
    small, large = teacher.look(own, cells=16), teacher.look(images, cells=cells)
    assert large.sum((-1, -2)).numpy() == pytest.approx(1, abs=0.02)

    def middle(places: torch.Tensor) -> torch.Tensor:
        """Of the mass, as a share of the side."""
        steps = (torch.arange(places.shape[-1]) + 0.5) / places.shape[-1]
        return (places.sum(-2) * steps).sum(-1) / places.sum((-1, -2))

    assert torch.allclose(middle(small), middle(large), atol=0.01)


def test_a_network_learns_what_its_teacher_sees(
    figures: PackedStore, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    network, card = load_checkpoint(tiny_checkpoint)
    network.head.weight.data *= 100  # sure of what it sees, whatever that is
    sure = tmp_path / "sure.safetensors"
    save_checkpoint(sure, network.state_dict(), replace(card, training={"seed": 7}))
    loss = {"kind": "softmax", "teacher": str(sure), "teacher_share": 1.0}
    lessons = []
    for epochs in (1, 15):
        plan = recipe(loss=loss, optimizer={"lr": 5e-3}, training={"epochs": epochs, "ema": None})
        student, told = load_checkpoint(train(plan, figures, tmp_path / str(epochs)))
        assert told.training["teacher"] == {"seed": 7}
        images = make_batch(figures, np.arange(6), size=64).images
        with torch.no_grad():
            seen = network(images).flatten(-2).softmax(-1)
            mine = student(images).flatten(-2).log_softmax(-1)
        lessons.append(-(seen * mine).sum(-1).mean().item())
    entropy = -(seen * seen.log()).sum(-1).mean().item()
    assert lessons[1] - entropy < 0.75 * (lessons[0] - entropy)


def test_a_teacher_may_know_some_of_the_joints_and_teach_some_of_the_persons(
    figures: PackedStore, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    teacher = Teacher(str(tiny_checkpoint), skeleton=BODY19, device=torch.device("cpu"))
    assert [BODY19.joints[n] for n in teacher.joints] == list(LSP14.joints)
    store = JoinedStores([figures, figures], skeleton=BODY19, taught=[0.75, None])
    batch = make_batch(store, np.array([0, len(figures)]), size=64)
    assert batch.taught[0] == 0.75 and batch.taught[1].isnan()
    plan = recipe(
        loss={"kind": "softmax", "teacher": str(tiny_checkpoint), "teacher_share": 0.0},
        data={"dataset": "synthetic", "skeleton": "body19"},
        training={"epochs": 1},
    )
    _, card = load_checkpoint(train(plan, store, tmp_path / "run"))
    assert card.skeleton == BODY19


def test_a_teacher_of_other_joints_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"loss\.teacher: .* predicts 'lsp14'.*'coco17'"):
        Teacher(str(tiny_checkpoint), skeleton=COCO17, device=torch.device("cpu"))
    with pytest.raises(UserError, match="no such file"):
        Teacher("gone.safetensors", skeleton=LSP14, device=torch.device("cpu"))
