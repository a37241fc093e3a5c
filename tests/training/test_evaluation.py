"""Scores of persons held out of a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_loop import recipe
from torch import nn

from spcnet.data.annotations import JointState
from spcnet.data.datasets import SyntheticFigures
from spcnet.data.packing import pack
from spcnet.data.store import JoinedStores, PackedStore, Store
from spcnet.errors import UserError
from spcnet.metrics.protocols import Score
from spcnet.skeletons import BODY19, FLIC11, LSP14
from spcnet.training.distributed import ProcessGroup
from spcnet.training.task import check_holdout, score_store

SIZE = 64


class Oracle(nn.Module):
    """Logits with a peak at given crop pixels, person by person."""

    def __init__(self, points: np.ndarray) -> None:
        super().__init__()
        self.points, self.row = points, 0
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = self.points[self.row : self.row + len(images)]
        self.row += len(images)
        cells = (torch.from_numpy(rows).float() - 1.5) / 4
        steps = torch.arange(SIZE // 4.0)
        x, y = ((steps - cells[..., n : n + 1]) ** 2 for n in (0, 1))
        return -(y[..., :, None] + x[..., None, :]) / 0.5


def crop_points(store: Store) -> np.ndarray:
    """The labels (N, K, 2) in the pixels of the plain crops."""
    persons = store.persons
    middles, sides = persons.centres[:, None], persons.sides[:, None, None]
    found: np.ndarray = (persons.points - middles) * (SIZE / sides) + (SIZE - 1) / 2
    return found


def scored(store: Store, predicted: np.ndarray | None = None) -> tuple[Score, dict[str, Score]]:
    oracle: Any = Oracle(crop_points(store) if predicted is None else predicted)
    return score_store(oracle, store, recipe(), processes=ProcessGroup(), batch_size=5)


@pytest.fixture
def own(figures: PackedStore) -> PackedStore:
    """The figures, whose labels a test may change."""
    store = PackedStore(figures.folder)
    store.persons = replace(  # type: ignore[misc]
        store.persons, points=store.persons.points.copy(), states=store.persons.states.copy()
    )
    return store


def test_one_data_set_is_scored_by_its_own_protocol(figures: PackedStore) -> None:
    score, sources = scored(figures)
    assert (score.protocol, score.persons, sources) == ("lspet-pck", 12, {})
    assert score.mean > 95


def test_each_source_has_the_score_of_its_own_persons(figures: PackedStore) -> None:
    store = JoinedStores([figures, figures], titles=["right", "wrong"], skeleton=BODY19)
    predicted = crop_points(store)
    predicted[12:] += 40
    score, sources = scored(store, predicted)
    assert score.protocol == "torso-pck"
    assert [(title, found.persons) for title, found in sources.items()] == [
        ("right", 12), ("wrong", 12)
    ]  # fmt: skip
    assert sources["right"].mean > 95 and sources["wrong"].mean < 5
    assert score.mean == pytest.approx((sources["right"].mean + sources["wrong"].mean) / 2)


def test_a_label_outside_the_picture_counts_and_cannot_be_found(own: PackedStore) -> None:
    """As it does for `spcnet evaluate`: the rule is about labels, not about crops."""
    knee = LSP14.index("left_knee")
    own.persons.points[:3, knee] = own.persons.sizes[:3, ::-1] + 100
    score, _ = scored(own)
    assert score.joints["left_knee"] == pytest.approx(100 * 9 / 12)


def test_what_another_model_sees_is_no_label(figures: PackedStore) -> None:
    """Even where it is certain."""
    store = JoinedStores([figures], skeleton=BODY19)
    store.persons.states[:, BODY19.index("left_knee")] = JointState.MISSING
    store.persons.opinions[:] = [5, 5, 1]
    score, _ = scored(store)
    assert np.isnan(score.joints["left_knee"])
    assert score.mean > 95


def test_sources_whose_joints_have_no_torso_are_scored_by_the_box(
    figures: PackedStore, tmp_path: Path
) -> None:
    bare = replace(LSP14, name="bare", torso=None)
    for skeleton in (bare, FLIC11):  # FLIC has a torso, and no knees
        store = JoinedStores([figures], skeleton=skeleton)
        assert scored(store)[0].protocol == "pck-box"
        check_holdout(store)


def test_a_source_that_cannot_be_scored_is_named_before_the_run(own: PackedStore) -> None:
    check_holdout(own)
    own.persons.states[:, LSP14.index("right_hip")] = JointState.MISSING
    told = "no person has a reference length"
    with pytest.raises(UserError, match=rf"persons of synthetic cannot be scored: .*{told}"):
        check_holdout(own)


def test_every_source_must_have_persons_that_can_be_scored(
    figures: PackedStore, tmp_path: Path
) -> None:
    pack(SyntheticFigures("20-22"), tmp_path / "other", side=64)
    store = JoinedStores([figures, PackedStore(tmp_path / "other")], titles=["first", "second"])
    check_holdout(store)
    store.persons.states[12:, LSP14.index("left_shoulder")] = JointState.MISSING
    with pytest.raises(UserError, match="held-out persons of second cannot be scored"):
        check_holdout(store)
