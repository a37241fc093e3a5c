"""Following, with a stand-in that knows the answers: each person is a rectangle of one colour."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from loading import load

from spcnet import PoseEstimator
from spcnet.codec import square_of_box
from spcnet.errors import UserError
from spcnet.inference.pose import Pose
from spcnet.inference.tracking import SHRINKING, Tracker, similarity
from spcnet.inference.video import follow, steadied, with_pictures
from spcnet.media.images import read_image
from spcnet.skeletons import LSP14, Skeleton

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZE = (120, 200)
# Where the joints lie in a person's box: on its corners and edges.
PLACES = np.array([[n % 2, (n // 2) / 6] for n in range(14)], dtype=np.float64)


@dataclass
class Seer:
    """Finds a coloured rectangle whose middle lies in the crop, and notes what it was asked.

    It is its own finder, which sees every rectangle whole, but for hidden colours.
    """

    looks: list[np.ndarray] = field(default_factory=list)
    searches: list[int] = field(default_factory=list)  # before how many frames
    unsure: int = 0  # joints of low score, from the first
    score: float = 0.8
    calls: int = 0
    hidden: tuple[int, ...] = ()  # colours that the finder misses
    narrowest: int = 0  # rectangle of which nothing is seen but what is before it

    def predict(
        self,
        image: np.ndarray,
        boxes: Iterable[np.ndarray] | None = None,
        *,
        people: str = "one",
    ) -> list[Pose]:
        if boxes is None:
            assert people == "all"
            self.searches.append(self.calls)
            seen = [box for colour, box in self.seen(image) if colour not in self.hidden]
            return [self.look(image, box) for box in seen]
        self.calls += 1
        self.looks += list(boxes)
        return [self.look(image, box) for box in boxes]

    def view(self, skeleton: Skeleton | None) -> Skeleton:
        return skeleton or LSP14

    def seen(self, image: np.ndarray) -> list[tuple[int, np.ndarray]]:
        return [one for one in rectangles(image) if np.ptp(one[1][::2]) >= self.narrowest]

    def look(self, image: np.ndarray, box: np.ndarray) -> Pose:
        centre, side = square_of_box(box)
        best, nearest = None, np.inf
        for _, true in self.seen(image):
            away = np.abs((true[:2] + true[2:]) / 2 - centre).max()
            if away < min(side / 2, nearest):
                best, nearest = true, away
        scores = np.full(14, self.score if best is not None else 0.05, dtype=np.float32)
        scores[: self.unsure] = 0.1
        if best is None:
            best = np.asarray(box)
        points = best[:2] + PLACES * (best[2:] - best[:2])
        return Pose(points.astype(np.float32), scores, np.asarray(box, np.float32), LSP14)


def rectangles(image: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The colours in a picture and their boxes."""
    for colour in np.unique(image[image > 0]):
        ys, xs = np.nonzero(image[:, :, 0] == colour)
        yield int(colour), np.array([xs.min(), ys.min(), xs.max(), ys.max()], dtype=np.float64)


def frame(*people: tuple[int, int] | None, height: int = 40, width: int = 20) -> np.ndarray:
    """People by the top left corners of their rectangles."""
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    for colour, corner in enumerate(people, start=1):
        if corner is not None:
            x, y = corner
            image[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)] = 50 * colour
    return image


def boxes_of(tracker: Tracker, frames: Iterable[np.ndarray]) -> list[list[list[float] | None]]:
    return [[pose and pose.box.tolist() for pose in after(tracker, image)] for image in frames]


def after(tracker: Tracker, image: np.ndarray) -> list[Pose | None]:
    """What is found in the next frame of a video of thirty a second."""
    return tracker(image, tracker._frame / 30)


def test_the_box_stays_with_the_figure_and_the_finder_looks_every_tenth_frame() -> None:
    seer = Seer()
    corners = [(10 + 3 * n, 30 + n) for n in range(40)]
    found = boxes_of(Tracker(seer), [frame(corner) for corner in corners])  # type: ignore[arg-type]
    assert found == [[[x, y, x + 19, y + 39]] for x, y in corners]
    assert len(seer.searches) == 4
    assert len(seer.looks) == 40  # one per frame, the first in the box of the joints


def test_an_empty_scene_has_nobody_and_the_finder_looks_at_every_frame() -> None:
    seer = Seer()
    found = boxes_of(Tracker(seer), [frame() for _ in range(40)])  # type: ignore[arg-type]
    assert found == [[None]] * 40
    assert len(seer.searches) == 40 and not seer.looks


def test_who_vanished_is_found_again_at_once_wherever_they_are() -> None:
    tracker = Tracker(Seer())  # type: ignore[arg-type]
    here, there, gone = frame((5, 5)), frame((150, 70)), frame()
    found = boxes_of(tracker, [here, here, *[gone] * 30, here, *[gone] * 3, there])
    assert found[2:32] == [[None]] * 30
    assert found[32:] == [[[5, 5, 24, 44]], *[[None]] * 3, [[150, 70, 169, 109]]]


def test_a_cut_to_another_place_is_found_in_the_same_frame() -> None:
    found = boxes_of(Tracker(Seer()), [frame((5, 5)), frame((150, 70))])  # type: ignore[arg-type]
    assert found[1] == [[150, 70, 169, 109]]


@pytest.mark.parametrize(("score", "lost"), [(0.4, True), (0.8, False)])
def test_whom_the_finder_misses_twice_is_gone_unless_the_joints_are_sure(
    score: float, lost: bool
) -> None:
    """Nobody goes on for long about what looks a little like a person, such as the sun."""
    seer = Seer(score=score)
    tracker = Tracker(seer)  # type: ignore[arg-type]
    after(tracker, frame((60, 30)))
    seer.hidden = (50,)
    found = boxes_of(tracker, [frame((60, 30))] * 39)
    gone = [boxes == [None] for boxes in found]
    assert gone == [lost and n + 1 >= 20 for n in range(39)]


def test_one_is_the_main_person_and_all_are_everybody_who_comes() -> None:
    scene = [frame((20, 30), (90, 30), (160, 30) if n >= 4 else None) for n in range(25)]
    one = boxes_of(Tracker(Seer()), scene)  # type: ignore[arg-type]
    assert one == [[[90, 30, 109, 69]]] * 25  # the one in the middle
    tracker = Tracker(Seer(), people="all")  # type: ignore[arg-type]
    everybody = boxes_of(tracker, scene)
    two = [[20, 30, 39, 69], [90, 30, 109, 69]]
    assert everybody[:10] == [two] * 10
    assert everybody[10:] == [[*two, [160, 30, 179, 69]]] * 15


def test_who_comes_back_to_the_same_place_has_the_same_number() -> None:
    tracker = Tracker(Seer(), people="all")  # type: ignore[arg-type]
    both, right = frame((20, 30), (120, 30)), frame(None, (120, 30))
    found = boxes_of(tracker, [*[both] * 3, *[right] * 9, *[both] * 12])
    assert [left is None for left, _ in found] == [3 <= n < 12 for n in range(24)]
    elsewhere = frame((60, 80), (120, 30))
    last = boxes_of(tracker, [*[elsewhere] * 10])[-1]
    assert last == [None, [120, 30, 139, 69], [60, 80, 79, 119]]


def test_two_who_cross_keep_their_numbers_though_one_is_hidden() -> None:
    """The first is behind the second for some frames, and neither stops."""
    scene = [frame((20 + 4 * n, 34), (160 - 4 * n, 34)) for n in range(36)]
    tracker = Tracker(Seer(narrowest=12), people="all")  # type: ignore[arg-type]
    found = boxes_of(tracker, scene)
    assert {len(boxes) for boxes in found} == {2}
    assert None in [left for left, _ in found]
    first, last = found[0], found[-1]
    assert first == [[20, 34, 39, 73], [160, 34, 179, 73]]
    assert last == [[160, 34, 179, 73], [20, 34, 39, 73]]


@pytest.mark.parametrize(("seconds", "same"), [(1.5, True), (2.5, False)])
def test_who_is_lost_comes_back_as_the_same_for_two_seconds(seconds: float, same: bool) -> None:
    tracker = Tracker(Seer(), people="all")  # type: ignore[arg-type]
    both, right = frame((20, 30), (120, 30)), frame(None, (120, 30))
    found = boxes_of(tracker, [both, *[right] * int(30 * seconds), *[both] * 11])[-1]
    assert [box is not None for box in found] == ([True, True] if same else [False, True, True])


def test_who_went_on_behind_something_is_met_where_they_come_out() -> None:
    scene = [frame((10 + 3 * n, 40) if not 15 <= n < 35 else None, (170, 5)) for n in range(50)]
    found = boxes_of(Tracker(Seer(), people="all"), scene)  # type: ignore[arg-type]
    assert [boxes[0] is None for boxes in found] == [15 <= n < 35 for n in range(50)]
    assert {len(boxes) for boxes in found} == {2}


@pytest.mark.parametrize("most", [1, 2, 3])
def test_so_many_at_most_are_followed_the_main_ones_first(most: int) -> None:
    scene = frame((20, 30), (90, 30), (160, 30))
    found = boxes_of(Tracker(Seer(), people=most), [scene] * 12)  # type: ignore[arg-type]
    assert {len(boxes) for boxes in found} == {most}
    assert [90, 30, 109, 69] in found[-1]


def test_a_number_of_people_is_at_least_one() -> None:
    with pytest.raises(UserError, match="people must be one, all, or a number of at least 1"):
        Tracker(Seer(), people=0)  # type: ignore[arg-type]


def test_similarity_by_hand() -> None:
    """A body 100 px high; both hips are off by their tolerance, 2 * 0.107 * 50 px."""
    points = np.tile([[0.0, 0.0], [0.0, 100.0]], (7, 1))
    scores = np.ones(14, dtype=np.float32)
    box = np.array([0.0, 0.0, 1.0, 100.0])
    one = Pose(points, scores, box, LSP14)
    hips = [LSP14.index("left_hip"), LSP14.index("right_hip")]
    moved = points.copy()
    moved[hips, 0] += 10.7
    expected = (12 + 2 * np.exp(-0.5)) / 14
    assert similarity([one], [Pose(moved, scores, box, LSP14)])[0, 0] == pytest.approx(expected)
    unsure = scores.copy()
    unsure[hips] = 0.5
    expected = (12 + 2 * 0.5 * np.exp(-0.5)) / 13
    other = Pose(moved, unsure, box, LSP14)
    assert similarity([one], [other, one])[0].tolist() == pytest.approx([expected, 1])
    assert similarity([one], []).shape == (1, 0)


def test_of_two_rendered_people_one_of_whom_is_hidden_each_keeps_their_number() -> None:
    """One stands, the other walks past behind; by boxes alone there were eight switches here."""
    figures = load("moving_figures")
    clip = figures.passing_behind(1)
    tracker = Tracker(PoseEstimator(device="cpu"), people="all")
    tracks = [tracker(picture, time) for time, picture in clip.frames()[::2]]
    assert figures.identity_switches(clip.points[::2], tracks) == 0
    assert len(tracks[-1]) == 2 and all(tracks[-1])


@pytest.mark.parametrize("given", [False, True])
def test_the_first_frame_is_framed_as_the_next_ones_are(given: bool) -> None:
    picture = read_image(EXAMPLES / "lunge.jpg")
    estimator = PoseEstimator(device="cpu")
    (still,) = estimator.predict(picture)
    tracker = Tracker(estimator, [still.box] if given else None)
    first, second = (tracker(picture, n / 25)[0] for n in range(2))
    assert first and second and (first.presence is None) == given
    away = np.linalg.norm(first.keypoints - second.keypoints, axis=1)
    assert away.mean() < 1.2  # pixels; without the second look 2.9, or 1.9 in a given box


def test_two_who_are_followed_on_one_body_become_one() -> None:
    tracker = Tracker(Seer(), people="all")  # type: ignore[arg-type]
    scenes = [*[frame((40, 30), (80, 30))] * 2, *[frame((40 + 5 * n, 30)) for n in range(6)]]
    found = boxes_of(tracker, [*scenes, *[frame((65, 30))] * 5])
    assert sum(pose is not None for pose in found[-1]) == 1


def test_all_people_go_without_boxes() -> None:
    with pytest.raises(UserError, match="people 'all' goes without boxes"):
        Tracker(Seer(), [[0, 0, 9, 9]], people="all")  # type: ignore[arg-type]


def test_each_box_of_the_first_frame_is_one_person() -> None:
    seer = Seer()
    tracker = Tracker(seer, [[100, 20, 119, 59], [20, 20, 39, 59]])  # type: ignore[arg-type]
    paths = [((100 + 2 * n, 20), (20 + 2 * n, 20) if n < 10 else None) for n in range(20)]
    found = boxes_of(tracker, [frame(*people) for people in paths])
    assert [right[0] for right, _ in found if right] == [100 + 2 * n for n in range(20)]
    assert [left and left[0] for _, left in found] == [20 + 2 * n for n in range(10)] + [None] * 10
    assert not seer.searches  # nobody else takes the place of who was lost


def test_who_walks_out_of_the_picture_is_lost_without_an_error() -> None:
    corners = [(60 - 5 * n, 30) for n in range(30)]
    found = boxes_of(Tracker(Seer()), [frame(corner) for corner in corners])  # type: ignore[arg-type]
    assert found[0] != [None] and found[-1] == [None]


def test_unsure_joints_make_the_box_smaller_slowly() -> None:
    seer = Seer()
    tracker = Tracker(seer)  # type: ignore[arg-type]
    still = frame((60, 20), height=80, width=40)
    after(tracker, still)
    after(tracker, still)
    seer.unsure = 8  # the upper joints
    for _ in range(4):
        after(tracker, still)
    longer = [max(box[2] - box[0], box[3] - box[1]) for box in seer.looks[1:]]
    ratios = np.divide(longer[1:], longer[:-1])
    assert (ratios >= SHRINKING - 1e-6).all()
    assert ratios[-1] < 1


def test_follow_is_lazy_and_keeps_times_and_pictures() -> None:
    read = 0

    def frames() -> Iterator[tuple[float, np.ndarray]]:
        nonlocal read
        for n in range(5):
            read += 1
            yield n / 7, frame((10 + n, 10))

    found = follow(Seer(), frames())  # type: ignore[arg-type]
    assert read == 0
    first = next(found)
    assert read == 1
    assert (first.index, first.time) == (0, 0.0)
    assert np.array_equal(first.image, frame((10, 10)))
    rest = list(found)
    assert [one.time for one in rest] == [n / 7 for n in range(1, 5)]
    record = rest[-1].to_coco("a.mp4")
    (image,), (person,) = record["images"], record["annotations"]
    assert (image["frame_id"], image["time"]) == (4, round(4 / 7, 6))
    assert (image["file_name"], image["video_id"]) == ("a.mp4", 1)
    assert (person["image_id"], person["track_id"]) == (image["id"], 0)
    assert person["bbox"] == [14, 10, 33 - 14, 49 - 10]
    assert person["keypoints"][:2] == [14, 10] and len(person["keypoint_scores"]) == 14


def test_smoothing_lags_behind_motion_and_starts_anew_where_the_person_was_lost() -> None:
    people = [(20, 20), (26, 20), (26, 20), None, (40, 30), (46, 30)]
    frames = [(n / 30, frame(person)) for n, person in enumerate(people)]
    raw = [f.persons[0] for f in follow(Seer(), frames)]  # type: ignore[arg-type]
    smooth = [f.persons[0] for f in follow(Seer(), frames, smooth=True)]  # type: ignore[arg-type]
    assert [pose is None for pose in smooth] == [pose is None for pose in raw]
    assert [pose is None for pose in raw] == [False, False, False, True, False, False]
    xs = [float(pose.keypoints[0, 0]) for pose in smooth if pose]
    assert xs[0] == 20 and 20 < xs[1] < xs[2] < 26
    assert xs[3] == 40  # not drawn back to where they were
    assert 40 < xs[4] < 46
    assert smooth[1] is not None and smooth[1].keypoints.dtype == np.float32


def test_a_whole_video_is_steadied_and_gets_its_pictures_back() -> None:
    people = [(20 + n, 20) if n not in (9, 10) else None for n in range(40)]
    frames = [(n / 30, frame(person, (150, 60))) for n, person in enumerate(people)]
    seer = Seer(narrowest=5)
    kept = [f.without_picture() for f in follow(seer, frames, people="all")]  # type: ignore[arg-type]
    assert {f.image.size for f in kept} == {0}
    made = list(with_pictures(steadied(kept, LSP14), frames))
    assert all(np.array_equal(f.image, image) for f, (_, image) in zip(made, frames, strict=True))
    lefts = [pose and pose.keypoints[0, 0] for pose, _ in (f.persons for f in made)]
    assert kept[9].persons[0] is None and kept[10].persons[0] is None
    assert lefts == pytest.approx([20 + n for n in range(40)], abs=0.2)
    assert made[9].persons[0] is not None
    assert made[9].persons[0].box.tolist() == pytest.approx([29, 20, 48, 59], abs=0.2)
    still = [pose for _, pose in (f.persons for f in made)]
    assert all(pose and pose.keypoints[0].tolist() == [150, 60] for pose in still)
    assert list(with_pictures(kept, None)) == kept


def test_no_boxes_is_nobody() -> None:
    assert after(Tracker(Seer(), np.empty((0, 4))), frame((5, 5))) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("unsure", [0, 5])
def test_scores_of_many_unsure_joints_still_give_the_box_of_the_others(unsure: int) -> None:
    seer = Seer(unsure=unsure)
    (pose,) = after(Tracker(seer), frame((60, 20)))  # type: ignore[arg-type]
    assert pose is not None
    top = 20 + 39 * PLACES[unsure:, 1].min()
    assert pose.box.tolist() == pytest.approx([60, top, 79, 59])
