from pathlib import Path

import numpy as np
import pytest
import torch

from spcnet.codec import MEAN, STD, square_of_box
from spcnet.data.annotations import Annotation, JointState
from spcnet.data.augmentation import (
    NO_AUGMENTATION,
    SMALLEST_PART,
    Augmentation,
    _draw,
    make_batch,
)
from spcnet.data.datasets import SyntheticFigures, open_pictures
from spcnet.data.opinions import LEAST
from spcnet.data.packing import pack
from spcnet.data.store import JoinedStores, PackedStore
from spcnet.geometry import (
    apply_affine,
    crop_affine,
    invert_affine,
)
from spcnet.media.crops import extract_crop
from spcnet.skeletons import BODY19, COCO17, LSP14, MPII16, Skeleton

WILD = Augmentation(full_circle_probability=0.5, shift=0.1, brightness=0.2, contrast=0.3)


def grey_levels(images: torch.Tensor) -> np.ndarray:
    """Normalised (B, 3, S, S) back to 0..255, (B, S, S, 3)."""
    return (images.permute(0, 2, 3, 1).numpy() * STD + np.array(MEAN)) * 255


def mean_differences(dataset: object, store: PackedStore, size: int) -> np.ndarray:
    """Per person, between the plain training crop and the estimator's, in grey levels."""
    ours = grey_levels(make_batch(store, np.arange(len(store)), size=size).images)
    differences = []
    for crop, (image, person) in zip(ours, dataset.samples(), strict=True):  # type: ignore[attr-defined]
        theirs = extract_crop(image, crop_affine(*square_of_box(person.box), size), size)
        differences.append(np.abs(crop - theirs).mean())
    return np.array(differences)


def test_plain_crop_is_the_estimators_on_figures(figures: PackedStore) -> None:
    assert mean_differences(SyntheticFigures("1-12"), figures, 128).mean() < 4  # noisy pictures


def test_plain_crop_is_the_estimators_on_photographs(shared_data: Path, tmp_path: Path) -> None:
    dataset = open_pictures("lspet", shared_data / "lspet", "1-40")
    pack(dataset, tmp_path / "store")
    store = PackedStore(tmp_path / "store")
    for size in (128, 256):
        assert mean_differences(dataset, store, size).mean() < 2


def test_draws_depend_on_seed_epoch_and_person_only(figures: PackedStore) -> None:
    together = make_batch(figures, np.arange(8), size=64, augmentation=WILD, seed=1, epoch=2)
    alone = make_batch(figures, np.array([5]), size=64, augmentation=WILD, seed=1, epoch=2)
    assert torch.allclose(alone.images[0], together.images[5], atol=1e-4)
    assert torch.equal(alone.points[0], together.points[5])
    for other in ({"seed": 2, "epoch": 2}, {"seed": 1, "epoch": 3}):
        moved = make_batch(figures, np.array([5]), size=64, augmentation=WILD, **other)
        assert not torch.equal(moved.points, alone.points)


def test_pixels_move_with_their_joints(tmp_path: Path) -> None:
    """Dots painted on the joints are where the augmented points say."""
    from test_store import OnePerson

    person = OnePerson()
    person.image[:] = 0
    joints = person.annotation.points[[0, 4, 9, 13]]
    for x, y in np.rint(joints).astype(int):
        person.image[y - 3 : y + 4, x - 3 : x + 4] = 255
    person.annotation.points[[0, 4, 9, 13]] = np.rint(joints)
    pack(person, tmp_path / "store")
    store = PackedStore(tmp_path / "store")
    geometry = Augmentation(full_circle_probability=0.5, shift=0.02, tint=0)
    permutation = list(store.skeleton.flip_permutation)
    flips = looked_at = 0
    for epoch in range(20):
        batch = make_batch(store, np.array([0]), size=128, augmentation=geometry, epoch=epoch)
        brightness = batch.images[0].mean(dim=0).numpy()
        points = batch.points[0].numpy()
        # A mirrored crop has its dots on the joints of the other side.
        order = np.arange(14)
        if not lit(brightness, points[[0, 4, 9, 13]]).all():
            order, flips = np.array(permutation), flips + 1
        found = lit(brightness, points[order[[0, 4, 9, 13]]])
        assert found.all()
        looked_at += len(found)
    assert 4 <= flips <= 16
    assert looked_at > 40


def lit(brightness: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether there is a dot at each of the points that lie well inside the crop."""
    inside = ((points > 2) & (points < 125)).all(axis=1)
    x, y = np.rint(points[inside]).astype(int).T
    lights: np.ndarray = brightness[y, x] > 1.5
    return lights


def test_outside_the_picture_is_zero_whatever_the_colours(figures: PackedStore) -> None:
    far = Augmentation(scale=0, rotation_probability=0, flip_probability=0, brightness=0.5)
    figures.persons.sides[0] *= 4
    try:
        images = make_batch(figures, np.array([0]), size=64, augmentation=far).images
    finally:
        figures.persons.sides[0] /= 4
    assert (images[0, :, :4, :4] == 0).all()
    assert (images[0, :, 30:34, 30:34] != 0).any()


def test_shares_of_rotated_flipped_and_scaled_crops(figures: PackedStore) -> None:
    from spcnet.data.augmentation import _draw_affine, generator

    paper = Augmentation()
    draws = [
        _draw_affine(generator(seed=0, epoch=e, person=0), paper, np.zeros(2), 100.0, 100)
        for e in range(3000)
    ]
    scales = np.array([1 / np.sqrt(abs(np.linalg.det(affine[:, :2]))) for affine, _ in draws])
    flips = np.array([flip for _, flip in draws])
    angles = np.array([np.rad2deg(np.arctan2(affine[1, 0], affine[1, 1])) for affine, _ in draws])
    assert scales.min() == pytest.approx(0.75)
    assert scales.max() == pytest.approx(1.25)
    assert flips.mean() == pytest.approx(0.5, abs=0.03)
    assert (angles == 0).mean() == pytest.approx(0.4, abs=0.03)
    assert np.abs(angles).max() == pytest.approx(60)
    assert angles[angles != 0].std() == pytest.approx(30 * 0.88, rel=0.1)  # clipped normal


def test_no_augmentation_draws_the_plain_crop(figures: PackedStore) -> None:
    first = make_batch(figures, np.arange(4), size=64, augmentation=NO_AUGMENTATION, epoch=1)
    later = make_batch(figures, np.arange(4), size=64, augmentation=NO_AUGMENTATION, epoch=9)
    assert torch.equal(first.images, later.images)
    assert first.annotated.all()


def test_close_ups_hold_two_joints_and_leave_the_other_draws_alone(figures: PackedStore) -> None:
    rows = np.arange(12)
    plain = make_batch(figures, rows, size=64)
    parts = Augmentation(**{**vars(NO_AUGMENTATION), "part_probability": 1.0})
    seen_fewer = 0
    for epoch in range(6):
        batch = make_batch(figures, rows, size=64, augmentation=parts, epoch=epoch)
        inside = ((batch.points > -0.5) & (batch.points < 63.5)).all(-1) & batch.annotated
        assert (inside.sum(dim=1) >= 2).all()
        seen_fewer += int((inside.sum(dim=1) < batch.annotated.sum(dim=1)).sum())
        # How much nearer: never further than the plain crop, never closer than its smallest part.
        spread = (batch.points - batch.points.mean(dim=1, keepdim=True)).norm(dim=(1, 2))
        nearer = spread / (plain.points - plain.points.mean(dim=1, keepdim=True)).norm(dim=(1, 2))
        assert (nearer > 0.999).all()
        assert (nearer < 1 / SMALLEST_PART + 1e-3).all()
    assert seen_fewer > 36  # of 72
    half = Augmentation(**{**vars(NO_AUGMENTATION), "part_probability": 0.5})
    mixed = make_batch(figures, np.repeat(rows, 20), size=64, augmentation=half, epoch=1)
    assert torch.equal(mixed.points[0], mixed.points[1])  # a function of seed, epoch, person
    same = make_batch(figures, rows, size=64, augmentation=NO_AUGMENTATION, epoch=5)
    assert torch.equal(same.points, plain.points)


ROUGH = Augmentation(
    full_circle_probability=0.3, shift=0.1, brightness=0.2, contrast=0.3, part_probability=0.2,
    dark_probability=0.5, blur_probability=0.5, jpeg_probability=0.5, cut_probability=0.5,
    neighbour_probability=0.7,
)  # fmt: skip
CUT = Augmentation(rotation_probability=0, scale=0, tint=0, flip_probability=0, cut_probability=1.0)


def test_whatever_is_done_to_a_person_hangs_on_no_other(figures: PackedStore) -> None:
    rows = np.array([5, 0, 7, 11, 2, 3])
    together = make_batch(figures, rows, size=64, augmentation=ROUGH, seed=1, epoch=2)
    for n, row in enumerate(rows):
        alone = make_batch(figures, rows[n : n + 1], size=64, augmentation=ROUGH, seed=1, epoch=2)
        assert torch.allclose(alone.images[0], together.images[n], atol=1e-4), row
        assert torch.equal(alone.points[0], together.points[n])
        assert torch.equal(alone.absent[0], together.absent[n])


def test_a_person_that_is_drawn_again_in_an_epoch_looks_otherwise(figures: PackedStore) -> None:
    batch = make_batch(figures, np.array([4, 4 + 12, 4]), size=64, augmentation=WILD, epoch=1)
    assert torch.equal(batch.images[0], batch.images[2])
    assert not torch.equal(batch.points[0], batch.points[1])


def test_what_lies_beyond_the_end_of_a_picture_is_absent_and_dark(figures: PackedStore) -> None:
    whole = make_batch(figures, np.arange(12), size=64)
    assert not whole.absent.any()
    batch = make_batch(figures, np.arange(12), size=64, augmentation=CUT, epoch=3)
    assert batch.absent.any(dim=1).sum() >= 9
    assert (batch.annotated == whole.annotated).all()
    for image, points, absent in zip(batch.images, batch.points, batch.absent, strict=True):
        x, y = points[absent].round().long().unbind(-1)
        there = (x >= 0) & (x < 64) & (y >= 0) & (y < 64)
        beyond = image[:, y[there], x[there]]
        assert (beyond == 0).all(dim=0).float().mean() > 0.8 or not there.any()
        inside = points[~absent]
        assert ((inside > -1) & (inside < 64)).all()


def test_opinions_teach_joints_without_a_label_and_stand_beside_labels(
    figures: PackedStore,
) -> None:
    joined = JoinedStores([figures], skeleton=BODY19, doubts=[0.1])
    opinions = joined.persons.opinions
    nose, ear, hip = (BODY19.index(name) for name in ("nose", "left_ear", "left_hip"))
    opinions[3, nose] = [50, 60, 0.8]
    opinions[3, ear] = [50, 60, 0.2]  # too unsure
    opinions[3, hip] = [70, 80, 0.5]
    flip = Augmentation(rotation_probability=0, scale=0, tint=0, flip_probability=1)
    plain = make_batch(joined, np.array([3, 4]), size=64)
    mirrored = make_batch(joined, np.array([3, 4]), size=64, augmentation=flip)
    assert plain.annotated[0, nose] and not plain.annotated[0, ear]
    assert plain.trust[0, nose] == pytest.approx(0.8)
    assert plain.trust[0, hip] == 1
    assert plain.seconds[0, hip, 2] == pytest.approx(0.05)
    assert plain.seconds[0, nose, 2] == 0
    assert (plain.seconds[1, :, 2] == 0).all()
    square = joined.persons.centres[3], float(joined.persons.sides[3])
    affine = crop_affine(*square, 64)
    assert plain.points[0, nose].numpy() == pytest.approx(affine @ [50, 60, 1], abs=1e-3)
    assert plain.seconds[0, hip, :2].numpy() == pytest.approx(affine @ [70, 80, 1], abs=1e-3)
    right_hip = BODY19.index("right_hip")
    assert mirrored.seconds[0, right_hip, 2] == pytest.approx(0.05)
    opposite = 63 - float(plain.seconds[0, hip, 0])
    assert mirrored.seconds[0, right_hip, 0] == pytest.approx(opposite, abs=1e-3)
    assert mirrored.trust[0, nose] == pytest.approx(0.8)


def test_where_nobody_is_every_joint_is_absent(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, size=(80, 120, 3), dtype=np.uint8)
    record = Annotation(
        "empty.png", np.zeros((19, 2)), np.full(19, JointState.ABSENT, np.uint8),
        box=np.array([0.0, 0, 119, 79]),
    )  # fmt: skip

    class Empty:
        name, split, skeleton = "nobody", "all", BODY19
        picture_names = frozenset({"empty.png"})

        def __len__(self) -> int:
            return 1

        def samples(self) -> list[tuple[np.ndarray, Annotation]]:
            return [(picture, record)]

    pack(Empty(), tmp_path / "store")  # type: ignore[arg-type]
    store = PackedStore(tmp_path / "store")
    sides = set()
    for epoch in range(4):
        batch = make_batch(store, np.array([0]), size=32, augmentation=WILD, epoch=epoch)
        assert batch.absent.all() and batch.annotated.all()
        sides.add(float(batch.images.std()))
    assert len(sides) == 4


def peopled(figures: PackedStore) -> JoinedStores:
    """Figures whose labels and another model's points are mixed at random, as body19."""
    joined = JoinedStores([figures, figures], skeleton=BODY19, doubts=[0.1, 0.4])
    random = np.random.default_rng(0)
    persons = joined.persons
    persons.states[random.random(persons.states.shape) < 0.3] = JointState.MISSING
    persons.opinions[:] = np.concatenate(
        [
            random.uniform(0, 200, (*persons.states.shape, 2)),
            random.random((*persons.states.shape, 1)),
        ],
        axis=2,
    )
    return joined


def test_everything_about_a_person_hangs_on_no_other(figures: PackedStore) -> None:
    store = peopled(figures)
    everything = Augmentation(**{**vars(ROUGH), "grey_probability": 0.3})
    assert all(value > 0 for name, value in vars(everything).items() if "probability" in name)
    rows = np.array([5, 0, 29, 23, 5 + 24, 12])  # one of them is drawn three times
    together = make_batch(store, rows, size=64, augmentation=everything, seed=1, epoch=2)
    for n in range(len(rows)):
        alone = make_batch(
            store, rows[n : n + 1], size=64, augmentation=everything, seed=1, epoch=2
        )
        assert torch.allclose(alone.images[0], together.images[n], atol=1e-4)
        for name in ("points", "annotated", "absent", "trust", "seconds"):
            assert torch.equal(getattr(alone, name)[0], getattr(together, name)[n]), name


def test_labels_are_certain_and_opinions_as_probable_as_they_are(figures: PackedStore) -> None:
    store = peopled(figures)
    rows = np.arange(24)
    batch = make_batch(store, rows, size=64)
    persons = store.persons
    labelled = torch.from_numpy(persons.states != JointState.MISSING)
    probability = torch.from_numpy(persons.opinions[..., 2])
    taught = ~labelled & (probability >= LEAST)
    assert labelled.any() and taught.any() and (~labelled & ~taught).any()
    assert torch.equal(batch.annotated, labelled | taught)
    assert torch.equal(batch.trust, torch.where(taught, probability, 1.0))
    believed = torch.where(labelled & (probability >= LEAST), probability, 0.0)
    doubts = torch.tensor([[0.1], [0.4]]).repeat_interleave(12, dim=0)
    torch.testing.assert_close(batch.seconds[..., 2], doubts * believed)
    # Where there is a label and an opinion, the one is the point and the other the second.
    where = torch.from_numpy(persons.points), torch.from_numpy(persons.opinions[..., :2])
    for row in rows:
        affine = crop_affine(persons.centres[row], float(persons.sides[row]), 64)
        mine, others = (torch.from_numpy(apply_affine(affine, of[row])).float() for of in where)
        expected = torch.where(taught[row, :, None], others, mine)
        torch.testing.assert_close(batch.points[row][batch.annotated[row]],
                                   expected[batch.annotated[row]])  # fmt: skip
        torch.testing.assert_close(batch.seconds[row, :, :2], others)


def test_a_mirrored_crop_has_everything_on_the_other_side(figures: PackedStore) -> None:
    store = peopled(figures)
    rows = np.arange(24)
    plain = make_batch(store, rows, size=64, augmentation=CUT, epoch=2)
    flip = Augmentation(**{**vars(CUT), "flip_probability": 1.0})
    mirrored = make_batch(store, rows, size=64, augmentation=flip, epoch=2)
    order = list(BODY19.flip_permutation)
    assert plain.absent.any() and (plain.seconds[..., 2] > 0).any() and (plain.trust < 1).any()
    for name in ("annotated", "absent", "trust"):
        assert torch.equal(getattr(mirrored, name), getattr(plain, name)[:, order]), name
    assert torch.equal(mirrored.seconds[..., 2], plain.seconds[:, order, 2])
    for mine, theirs in (
        (mirrored.points, plain.points), (mirrored.seconds[..., :2], plain.seconds[..., :2])
    ):  # fmt: skip
        back = torch.stack([63 - mine[..., 0], mine[..., 1]], dim=-1)
        torch.testing.assert_close(back, theirs[:, order], rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(mirrored.images.flip(-1), plain.images, rtol=0, atol=0.02)


def test_what_is_cut_off_is_exactly_zero_and_the_rest_is_as_it_was(figures: PackedStore) -> None:
    """The same crop of the picture as it ends and of the whole one, by the masks of both."""
    bright = Augmentation(**{**vars(CUT), "brightness": 0.4, "tint": 0.3, "dark_probability": 1.0})
    seen = 0
    for epoch in range(3):
        for row in range(12):
            drawn = _draw(figures, row, size=64, augmentation=bright, seed=0, epoch=epoch)
            x0, y0, x1, y1 = drawn.kept
            batch = make_batch(figures, np.array([row]), size=64, augmentation=bright, epoch=epoch)
            steps = np.stack(np.meshgrid(np.arange(64.0), np.arange(64.0)), axis=-1)
            x, y = apply_affine(invert_affine(drawn.affine), steps.reshape(-1, 2)).T
            outside = (x <= x0 - 1) | (y <= y0 - 1) | (x >= x1) | (y >= y1)
            inside = (x > x0) & (y > y0) & (x < x1 - 1) & (y < y1 - 1)
            pixels = batch.images[0].flatten(1)
            assert (pixels[:, outside] == 0).all()
            assert (pixels[:, inside] != 0).any(dim=0).all()
            seen += int(outside.sum())
    assert seen > 1000


def test_opinions_beyond_the_end_of_a_picture_are_absent_too(figures: PackedStore) -> None:
    store = peopled(figures)
    store.persons.states[:] = JointState.MISSING
    store.persons.opinions[..., 2] = 0.5
    height, width = store.persons.sizes[0]
    batch = make_batch(store, np.array([0]), size=64)
    x, y = store.persons.opinions[0, :, :2].T
    slack = 0.02 * store.persons.sides[0]
    beyond = (x > width - 1 + slack) | (y > height - 1 + slack)
    assert beyond.any() and not beyond.all()
    assert batch.absent[0].numpy().tolist() == beyond.tolist()
    assert batch.annotated.all()
    assert (batch.trust == 0.5).all()


@pytest.mark.parametrize("skeleton", [LSP14, MPII16, COCO17, BODY19], ids=lambda s: s.name)
def test_windows_are_drawn_of_empty_pictures_in_any_skeleton(
    tmp_path: Path, skeleton: Skeleton
) -> None:
    """MPII has joints, pelvis and thorax, that body19 has under no name."""
    from test_store import OnePerson

    person = OnePerson(skeleton=BODY19)
    person.annotation.states[:] = JointState.ABSENT
    pack(person, tmp_path / "store")
    store = JoinedStores([PackedStore(tmp_path / "store")], skeleton=skeleton)
    sides = []
    for epoch in range(50):
        row = _draw(store, 0, size=64, augmentation=NO_AUGMENTATION, seed=0, epoch=epoch)
        known = [joint in BODY19.joints for joint in skeleton.joints]
        assert row.labels["absent"].tolist() == row.labels["annotated"].tolist() == known
        sides.append(64 / row.affine[0, 0] / store.persons.sides[0])
        corners = apply_affine(invert_affine(row.affine), np.array([[-0.5, -0.5], [63.5, 63.5]]))
        whole = store.persons.centres[0] + np.array([[-0.5], [0.5]]) * store.persons.sides[0]
        assert (corners[0] >= whole[0] - 1e-3).all() and (corners[1] <= whole[1] + 1e-3).all()
    assert 0.35 <= min(sides) < 0.45 and 0.9 < max(sides) <= 1
