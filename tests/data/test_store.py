import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spcnet.data.annotations import Annotation
from spcnet.data.datasets import SyntheticFigures
from spcnet.data.packing import pack
from spcnet.data.store import JoinedStores, PackedStore, batch_of
from spcnet.errors import UserError
from spcnet.skeletons import FLIC11, LSP14, Skeleton


class OnePerson:
    """A person of 100 px in a big picture, whose joints lie on a diagonal."""

    name, split = "one", "all"

    def __init__(self, *, scale: float = 1.0, skeleton: Skeleton = LSP14) -> None:
        self.skeleton = skeleton
        size = round(600 * scale)
        ramp = np.linspace(0, 255, size)
        self.image = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 128), -1).astype(np.uint8)
        points = np.linspace([250, 200], [350, 300], len(skeleton)) * scale
        states = np.full(len(skeleton), 2, np.uint8)
        self.annotation = Annotation("folder/one.jpg", points, states, reference=30 * scale)

    def __len__(self) -> int:
        return 1

    @property
    def picture_names(self) -> set[str]:
        return {"folder/one.jpg"}

    def samples(self) -> Iterator[tuple[np.ndarray, Annotation]]:
        yield self.image, self.annotation


def test_a_small_person_keeps_the_pictures_own_pixels(tmp_path: Path) -> None:
    person = OnePerson()
    pack(person, tmp_path / "store")
    store = PackedStore(tmp_path / "store")
    persons = store.persons
    assert len(store) == 1
    assert (persons.sides[0], persons.keys[0], persons.references[0]) == (125, "folder/one.jpg", 30)
    # Moving every point by one offset restores the picture's coordinates and pixels.
    offset = person.annotation.points[0] - persons.points[0, 0]
    assert persons.points[0] + offset == pytest.approx(person.annotation.points, abs=1e-3)
    assert persons.centres[0] + offset == pytest.approx([300, 250], abs=1e-3)
    x, y = np.rint(offset).astype(int)
    height, width = persons.sizes[0]
    expected = person.image[y : y + height, x : x + width].astype(int)
    assert np.abs(store.region(0) - expected).mean() < 2


def test_a_large_person_is_reduced_to_the_side_asked_for(tmp_path: Path) -> None:
    pack(OnePerson(scale=4), tmp_path / "store", side=200)
    persons = PackedStore(tmp_path / "store").persons
    assert persons.sides[0] == pytest.approx(200, rel=0.01)
    assert np.ptp(persons.points[0], axis=0) == pytest.approx([160, 160], rel=0.01)
    assert persons.centres[0] == pytest.approx(persons.points[0].mean(axis=0), abs=0.01)
    # 120 px of a crop 500 px wide, of which 200 px are left.
    assert persons.references[0] == pytest.approx(48, rel=0.01)


def test_the_crop_is_by_the_rule_asked_for(tmp_path: Path) -> None:
    pack(OnePerson(), tmp_path / "store", side=1000, crop="lsp-height")
    store = PackedStore(tmp_path / "store")
    assert store.persons.sides[0] == 1.25 * 600
    assert store.persons.centres[0].tolist() == [299.5, 299.5]  # the whole picture is its region


def test_figures_have_no_reference_length(figures: PackedStore) -> None:
    assert np.isnan(figures.persons.references).all()


def test_the_region_holds_a_turned_crop(tmp_path: Path) -> None:
    pack(OnePerson(), tmp_path / "store")
    persons = PackedStore(tmp_path / "store").persons
    reach = 1.25 / np.sqrt(2) * persons.sides[0]
    assert (persons.centres[0] - reach >= -1).all()
    assert (persons.centres[0] + reach <= persons.sizes[0][::-1] + 1).all()


def test_jpeg_and_expanded_forms_agree_across_shards(
    tmp_path: Path, figures: PackedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spcnet.data.datasets import SyntheticFigures

    monkeypatch.setattr("spcnet.data.packing.SHARD_BYTES", 20_000)
    pack(SyntheticFigures("1-12"), tmp_path / "store")
    store = PackedStore(tmp_path / "store")
    assert len(store.header["shards"]) > 2
    for index in range(12):
        decoded = np.asarray(Image.open(io.BytesIO(store.jpeg(index))).convert("RGB"))
        assert np.array_equal(store.region(index), decoded)
        assert np.array_equal(decoded, figures.region(index))
    canvas, filled = batch_of(store, np.array([3, 8]))
    for row, index in enumerate((3, 8)):
        height, width = filled[row]
        assert np.array_equal(canvas[row, :height, :width], store.region(index))
        assert not canvas[row, height:].any()


def test_the_compact_form_travels(tmp_path: Path, figures: PackedStore) -> None:
    figures.region(0)
    shutil.copytree(figures.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("expanded.u8"))
    assert np.array_equal(PackedStore(tmp_path / "copy").region(5), figures.region(5))


def test_nothing_is_overwritten_and_nothing_half_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "store"
    target.mkdir()
    (target / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="already exists"):
        pack(OnePerson(), target)
    assert (target / "mine.txt").read_text() == "precious"

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spcnet.data.packing.np.savez", stop)
    with pytest.raises(KeyboardInterrupt):
        pack(OnePerson(), tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_broken_stores_are_told(tmp_path: Path, figures: PackedStore) -> None:
    with pytest.raises(UserError, match=r"no store\.json"):
        PackedStore(tmp_path)
    copy = Path(shutil.copytree(figures.folder, tmp_path / "copy"))
    (copy / "regions-000.bin").write_bytes(b"short")
    with pytest.raises(UserError, match=r"regions-000\.bin: missing or cut short"):
        PackedStore(copy)
    header = json.loads((copy / "store.json").read_text())
    (copy / "store.json").write_text(json.dumps(header | {"version": 99}))
    with pytest.raises(UserError, match="not a store of version"):
        PackedStore(copy)


def test_stores_joined_are_one_after_the_other_with_the_joints_of_the_first(
    tmp_path: Path, figures: PackedStore
) -> None:
    pack(OnePerson(skeleton=FLIC11), tmp_path / "flic")
    other = PackedStore(tmp_path / "flic")
    both = JoinedStores([figures, other])
    assert (len(both), both.skeleton, both.dataset) == (13, LSP14, "synthetic")
    assert both.pictures == figures.pictures | {"one/folder/one.jpg"}
    assert np.array_equal(both.region(11), figures.region(11))
    assert np.array_equal(both.region(12), other.region(0))
    canvas, filled = batch_of(both, np.array([12, 0]))
    assert np.array_equal(canvas[0, : filled[0, 0], : filled[0, 1]], other.region(0))
    assert np.array_equal(both.persons.points[:12], figures.persons.points)
    for channel, joint in enumerate(LSP14.joints):
        known = joint in FLIC11.joints
        assert (both.persons.states[12, channel] != 0) == known, joint
        if known:
            expected = other.persons.points[0, FLIC11.index(joint)]
            assert np.array_equal(both.persons.points[12, channel], expected)


def test_stores_without_a_common_joint_are_not_joined(tmp_path: Path, figures: PackedStore) -> None:
    dots = Skeleton("dots", ("left_dot", "right_dot"), ())
    pack(OnePerson(skeleton=dots), tmp_path / "dots")
    with pytest.raises(UserError, match="none of the joints of 'lsp14'; they have left_dot"):
        JoinedStores([figures, PackedStore(tmp_path / "dots")])


def test_sources_are_drawn_by_their_shares(tmp_path: Path, figures: PackedStore) -> None:
    pack(SyntheticFigures("13-15"), tmp_path / "few")
    few = PackedStore(tmp_path / "few")
    both = JoinedStores([figures, few], shares=[None, 0.6], titles=["many", "few"])
    drawn = both.drawn(np.random.default_rng(0))
    assert len(drawn) == len(np.unique(drawn)) == 15
    persons = drawn % 15
    assert (persons >= 12).sum() == 9  # three persons, three times each
    assert np.bincount(persons[persons >= 12] - 12).tolist() == [3, 3, 3]
    assert sorted(drawn[persons == 12] // 15) == [0, 1, 2]
    assert len(np.unique(persons[persons < 12])) == 6
    assert both.sources == {"many": slice(0, 12), "few": slice(12, 15)}
    again = JoinedStores([figures, few])
    assert np.array_equal(
        again.drawn(np.random.default_rng(3)), np.random.default_rng(3).permutation(15)
    )


@pytest.mark.parametrize("shares", [[0.6, 0.6], [None, 1.0], [0.3, 0.3]])
def test_shares_that_do_not_add_up_are_refused(
    tmp_path: Path, figures: PackedStore, shares: list[float | None]
) -> None:
    with pytest.raises(UserError, match="shares of the data sets add up to"):
        JoinedStores([figures, figures], shares=shares)


def test_doubts_are_of_the_sources_persons(figures: PackedStore) -> None:
    assert (
        JoinedStores([figures, figures], doubts=[0.1, 0.0]).doubts.tolist()
        == [0.1] * 12 + [0.0] * 12
    )
    assert (figures.doubts == 0).all()
