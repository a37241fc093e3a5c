import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spcnet.data.annotations import Annotation
from spcnet.data.datasets import epoch_order, shuffled
from spcnet.data.packing import pack
from spcnet.data.store import JoinedStores, PackedStore, batch_of
from spcnet.errors import UserError
from spcnet.skeletons import BODY19, COCO17, FLIC11, LSP14, Skeleton


class OnePerson:
    """A person of 100 px in a big picture, whose joints lie on a diagonal."""

    split = "all"

    def __init__(
        self,
        *,
        scale: float = 1.0,
        skeleton: Skeleton = LSP14,
        opinion: np.ndarray | None = None,
        name: str = "one",
    ) -> None:
        self.name = name
        self.skeleton = skeleton
        size = round(600 * scale)
        ramp = np.linspace(0, 255, size)
        self.image = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 128), -1).astype(np.uint8)
        points = np.linspace([250, 200], [350, 300], len(skeleton)) * scale
        states = np.full(len(skeleton), 2, np.uint8)
        self.annotation = Annotation(
            "folder/one.jpg", points, states, reference=30 * scale, opinion=opinion
        )

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
    canvas = batch_of(store, np.array([3, 8]))
    for row, index in enumerate((3, 8)):
        height, width = store.persons.sizes[index]
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
    height, width = both.persons.sizes[12]
    canvas = batch_of(both, np.array([12, 0]))
    assert np.array_equal(canvas[0, :height, :width], other.region(0))
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


# --- opinions


def opinion_in(scale: float = 1.0) -> np.ndarray:
    """Points of COCO's joints, some beyond the region, each as probable as its number says."""
    points = np.linspace([220, 210], [380, 290], 17) * scale
    points[0] = [0, 590 * scale]
    return np.column_stack([points, np.arange(17) / 20])


@pytest.mark.parametrize("scale", [1, 4])
def test_opinions_are_packed_in_pixels_of_the_region(tmp_path: Path, scale: int) -> None:
    opinion = opinion_in(scale)
    person = OnePerson(scale=scale, opinion=opinion)
    pack(person, tmp_path / "store", side=200)
    persons = PackedStore(tmp_path / "store").persons_as(COCO17)
    # The labels tell how the region lies in the picture: the first and the last are opposite ends.
    low, high = PackedStore(tmp_path / "store").persons.points[0][[0, -1]]
    first, last = person.annotation.points[[0, -1]]
    expected = (opinion[:, :2] - first) / (last - first) * (high - low) + low
    assert persons.opinions.shape == (1, 17, 3)
    assert persons.opinions[0, :, :2] == pytest.approx(expected, abs=1e-2)
    assert persons.opinions[0, :, 2] == pytest.approx(opinion[:, 2])


def test_a_person_without_an_opinion_has_one_of_no_probability(figures: PackedStore) -> None:
    assert figures.persons.opinions.shape == (12, 14, 3)
    assert not figures.persons.opinions.any()


def test_labels_and_opinions_are_seen_in_other_joints_by_their_names(tmp_path: Path) -> None:
    pack(OnePerson(opinion=opinion_in()), tmp_path / "store")
    store = PackedStore(tmp_path / "store")
    own, opinions = store.persons, store.persons_as(COCO17).opinions
    seen = store.persons_as(BODY19)
    assert (seen.points.shape, seen.opinions.shape) == ((1, 19, 2), (1, 19, 3))
    for channel, joint in enumerate(BODY19.joints):
        labelled = joint in LSP14.joints
        assert (seen.states[0, channel] == 2) == labelled, joint
        if labelled:
            expected = own.points[0, LSP14.index(joint)]
            assert np.array_equal(seen.points[0, channel], expected), joint
        else:
            assert not seen.points[0, channel].any(), joint
        known = joint in COCO17.joints  # neck and head top are not
        expected = opinions[0, COCO17.index(joint)] if known else np.zeros(3)
        assert np.array_equal(seen.opinions[0, channel], expected), joint
    for name in ("keys", "centres", "sides", "references", "sizes", "offsets"):
        assert np.array_equal(getattr(seen, name), getattr(own, name)), name


# --- several stores


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[PackedStore]:
    """Six, three and one figures."""
    from spcnet.data.datasets import SyntheticFigures

    folder = tmp_path_factory.mktemp("several")
    for split in ("1-6", "7-9", "10"):
        pack(SyntheticFigures(split), folder / split, side=32)
    return [PackedStore(folder / split) for split in ("1-6", "7-9", "10")]


def drawn(store: JoinedStores, epoch: int = 1) -> np.ndarray:
    order: np.ndarray = epoch_order(store, seed=3, epoch=epoch)
    return order


def counts(store: JoinedStores, order: np.ndarray) -> list[int]:
    """How many draws are of each store."""
    persons = order % len(store)
    return [int(((persons >= s.start) & (persons < s.stop)).sum()) for s in store.sources.values()]


def test_an_epoch_without_shares_is_a_plain_permutation(stores: list[PackedStore]) -> None:
    for shares in (None, [None, None, None], [0.6, 0.3, 0.1]):  # the last are those of the sizes
        store = JoinedStores(stores, shares=shares)
        for epoch in (1, 2):
            assert np.array_equal(drawn(store, epoch), shuffled(10, seed=3, epoch=epoch))


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.2, 0.2, 0.6], [2, 2, 6]),
        ([None, None, 0.1], [6, 3, 1]),
        ([None, None, 0.4], [4, 2, 4]),
        ([0.5, None, None], [5, 4, 1]),  # 3.75 and 1.25 persons of the rest
        ([1e-9, None, None], [0, 8, 2]),  # 7.5 and 2.5
        ([0.05, 0.0501, 0.8999], [0, 1, 9]),
    ],
)
def test_an_epoch_has_as_many_of_each_store_as_its_share_says(
    stores: list[PackedStore], shares: list[float | None], expected: list[int]
) -> None:
    store = JoinedStores(stores, shares=shares)
    for epoch in range(1, 6):
        order = drawn(store, epoch)
        assert len(order) == len(store)
        assert counts(store, order) == expected
        assert len(set(order.tolist())) == len(order)


def test_a_person_that_is_drawn_again_has_a_number_of_its_own(stores: list[PackedStore]) -> None:
    store = JoinedStores(stores, shares=[0.1, 0.5, 0.4])
    order = drawn(store)
    # Five draws of three persons (6, 7, 8): each once, and two of them once more.
    middle = sorted(n for n in order.tolist() if n % 10 in (6, 7, 8))
    assert middle[:3] == [6, 7, 8]
    assert len(middle) == 5 and set(middle[3:]) < {16, 17, 18}
    # Four draws of the one person.
    assert sorted(n for n in order.tolist() if n % 10 == 9) == [9, 19, 29, 39]
    assert not np.array_equal(order, drawn(store, 2))
    assert np.array_equal(order, drawn(store))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_shares_are_kept_to_whatever_they_are(
    stores: list[PackedStore], data: st.DataObject
) -> None:
    weights = data.draw(st.lists(st.integers(1, 50), min_size=3, max_size=3))
    shares = [weight / sum(weights) for weight in weights]
    store = JoinedStores(stores, shares=shares)
    order = drawn(store)
    assert len(order) == len(set(order.tolist())) == 10
    for count, share in zip(counts(store, order), shares, strict=True):
        assert abs(count - 10 * share) < 1 + 1e-6
    # Nobody is drawn once more before everybody of the store was.
    persons, rounds = order % 10, order // 10
    for rows in store.sources.values():
        mine = (persons >= rows.start) & (persons < rows.stop)
        full = [np.sum(rounds[mine] == n) for n in range(rounds[mine].max(initial=0))]
        assert all(count == rows.stop - rows.start for count in full)


@pytest.mark.parametrize(
    ("shares", "total"),
    [
        ([0.5, 0.4, 0.2], "1.1"),
        ([0.5, 0.3, 0.1], "0.9"),
        ([0.7, 0.3, None], "1"),  # nothing is left for the third
        ([0.7, 0.6, None], "1.3"),
    ],
)
def test_shares_that_do_not_add_up_are_refused(
    stores: list[PackedStore], shares: list[float | None], total: str
) -> None:
    with pytest.raises(UserError, match=rf"add up to {total}; they must add up to 1, or to less"):
        JoinedStores(stores, shares=shares)


def test_stores_have_titles_and_doubts_of_their_own(stores: list[PackedStore]) -> None:
    store = JoinedStores(stores, titles=["first", "second", "third"], doubts=[0.1, 0.0, 0.25])
    assert store.sources == {
        "first": slice(0, 6), "second": slice(6, 9), "third": slice(9, 10)
    }  # fmt: skip
    assert store.doubts.tolist() == [0.1] * 6 + [0.0] * 3 + [0.25]
    assert not JoinedStores(stores).doubts.any()
    assert not stores[0].doubts.any()


def test_a_title_that_stands_twice_is_counted_on(stores: list[PackedStore]) -> None:
    assert list(JoinedStores(stores).sources) == ["synthetic", "synthetic 2", "synthetic 3"]
    titles = ["coco 2", "coco", "coco"]
    assert list(JoinedStores(stores, titles=titles).sources) == ["coco 2", "coco", "coco 3"]


def test_stores_are_joined_with_the_joints_of_any_skeleton(
    tmp_path: Path, stores: list[PackedStore]
) -> None:
    pack(OnePerson(skeleton=COCO17, opinion=opinion_in()), tmp_path / "coco")
    other = PackedStore(tmp_path / "coco")
    store = JoinedStores([stores[0], other], skeleton=BODY19)
    assert store.skeleton is BODY19
    for name in ("points", "states", "opinions"):
        values = getattr(store.persons, name)
        assert np.array_equal(values[:6], getattr(stores[0].persons_as(BODY19), name)), name
        assert np.array_equal(values[6:], getattr(other.persons_as(BODY19), name)), name
    dots = Skeleton("dots", ("left_dot", "right_dot"), ())
    with pytest.raises(UserError, match="none of the joints of 'dots'"):
        JoinedStores([other], skeleton=dots)


def test_pictures_of_own_data_are_told_apart_by_the_titles(tmp_path: Path) -> None:
    """Two folders may have pictures of the same names."""
    pack(OnePerson(name="coco"), tmp_path / "own")
    pack(OnePerson(name="lspet"), tmp_path / "lspet")
    own, lspet = PackedStore(tmp_path / "own"), PackedStore(tmp_path / "lspet")
    store = JoinedStores([own, own, lspet], titles=["studio", "street", "lspet"])
    assert store.pictures == {
        "studio/folder/one.jpg", "street/folder/one.jpg", "lspet/folder/one.jpg"
    }  # fmt: skip
    # One folder's two parts, such as those to learn from and those held out, share its name.
    again = JoinedStores([own, own], titles=["studio", "studio"])
    assert again.pictures == {"studio/folder/one.jpg"}


def changed(figures: PackedStore, folder: Path, **arrays: np.ndarray) -> Path:
    """A copy of a store with other arrays."""
    copy = shutil.copytree(figures.folder, folder, ignore=shutil.ignore_patterns("*.u8"))
    np.savez(copy / "persons.npz", **(vars(figures._packed) | arrays))
    return copy


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("sizes", lambda values: values * 10_000_000, "sizes must be 1 to 16384 pixels"),
        ("sizes", lambda values: values * 0, "sizes must be 1 to 16384 pixels"),
        ("points", lambda values: values * np.nan, "points must be pixels"),
        ("points", lambda values: values[:, :3], "points must be 12 x 14 x 2 numbers"),
        ("centres", lambda values: values + 1e30, "centres must be pixels"),
        ("sides", lambda values: -values, "sides must be positive"),
        ("states", lambda values: values + 200, "states 0 to 3"),
        ("offsets", lambda values: values[::-1], "offsets must rise"),
        ("keys", lambda values: values.astype("S")[:1], "keys must be 12 numbers"),
    ],
)
def test_stores_of_absurd_numbers_are_refused_before_anything_is_built(
    tmp_path: Path, figures: PackedStore, name: str, make: Any, message: str
) -> None:
    array = make(getattr(figures._packed, name))
    copy = changed(figures, tmp_path / "copy", **{name: array})
    with pytest.raises(UserError, match=f"not a packed store; pack it again: .*{message}"):
        PackedStore(copy)
    assert not (copy / "expanded.u8").exists()


@pytest.mark.parametrize(
    "header",
    [
        [[]], {"skeleton": 3}, {"skeleton": {"name": "x"}}, {"shards": 3},
        {"shards": [{"file": 1}]},
        {"shards": [{"file": "store.json", "bytes": 10**30}]},
    ],
)  # fmt: skip
def test_headers_of_another_form_are_refused_in_a_line(
    tmp_path: Path, figures: PackedStore, header: Any
) -> None:
    copy = shutil.copytree(figures.folder, tmp_path / "copy")
    content = figures.header | header if isinstance(header, dict) else header
    (copy / "store.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"pack (it|the store) again") as told:
        PackedStore(copy)
    assert "\n" not in str(told.value)


def test_a_region_of_another_size_is_not_expanded(tmp_path: Path, figures: PackedStore) -> None:
    sizes = figures._packed.sizes + 1
    copy = changed(figures, tmp_path / "copy", sizes=sizes)
    (copy / "expanded.u8").unlink(missing_ok=True)
    with pytest.raises(
        UserError, match=r"region of person 0 is broken \(\d+ x \d+ pixels in place"
    ):
        PackedStore(copy).expand()
