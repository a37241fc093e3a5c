import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcnet.errors import UserError
from spcnet.metrics.oks import Detections, Persons, coco_oks, estimate_sigmas, similarity
from spcnet.skeletons import COCO17

# COCO's constants of the falloff, by joint.
SIGMA = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062,
    "hip": 0.107, "knee": 0.087, "ankle": 0.089,
}  # fmt: skip
KAPPA = [2 * SIGMA[joint.split("_")[-1]] for joint in COCO17.joints]
# A person's outline in the unit square.
BODY = np.random.default_rng(5).uniform(0, 1, (17, 2))
BODY[0], BODY[1] = [0, 0], [1, 1]


def scene(*people: tuple[int, float, float, float]) -> Persons:
    """Persons by picture, corner x and y, and side; their area is half the box's."""
    pictures, x, y, side = (np.array(column) for column in zip(*people, strict=True))
    corner = np.stack([x, y], axis=1).astype(float)
    return Persons(
        points=corner[:, None] + side[:, None, None] * BODY,
        annotated=np.ones((len(people), 17), bool),
        images=pictures,
        areas=side**2 / 2,
        boxes=np.concatenate([corner, corner + side[:, None]], axis=1),
        crowds=np.zeros(len(people), bool),
    )


def shift_for(oks: float, area: float) -> Callable[[np.ndarray], np.ndarray]:
    """Moves every joint so far that the similarity is `oks`."""
    away = np.array(KAPPA) * math.sqrt(-2 * area * math.log(oks))

    def move(points: np.ndarray) -> np.ndarray:
        return points + np.stack([away, np.zeros(17)], axis=1)

    return move


def detected(persons: Persons, similarities: list[float], scores: list[float]) -> Detections:
    points = [
        shift_for(oks, area)(p)
        for p, oks, area in zip(persons.points, similarities, persons.areas, strict=True)
    ]
    return Detections(np.array(points), np.array(scores), persons.images.copy())


def test_similarity_by_hand() -> None:
    persons = scene((1, 10, 20, 100))
    points = persons.points.copy()
    assert similarity(points, persons).tolist() == [pytest.approx(1)]
    # One joint off by d: exp(-d^2 / (2 s^2 k^2)), the mean over the labelled.
    points[0, 0] += [3, 4]
    nose = math.exp(-25 / (2 * 5000 * 0.052**2))
    assert similarity(points, persons)[0] == pytest.approx((16 + nose) / 17)
    persons.annotated[0, 2:] = False
    assert similarity(points, persons)[0] == pytest.approx((1 + nose) / 2)


@pytest.mark.parametrize("oks", [0.3, 0.5, 0.77])
def test_joints_moved_by_their_own_constants_are_alike(oks: float) -> None:
    persons = scene((1, 10, 20, 100), (1, 300, 20, 50))
    moved = detected(persons, [oks, oks], [1, 1])
    assert similarity(moved.points, persons) == pytest.approx([oks, oks])


def test_people_without_joints_are_compared_by_their_doubled_box() -> None:
    persons = scene((1, 100, 100, 50))
    persons.annotated[:] = False
    points = np.zeros((1, 17, 2)) + [75, 175]  # within 50..200 both ways
    assert similarity(points, persons)[0] == 1
    points[0, :, 0] = 210  # ten pixels beyond
    expected = np.mean([math.exp(-100 / (2 * 1250 * kappa**2)) for kappa in KAPPA])
    assert similarity(points, persons)[0] == pytest.approx(expected)


def test_all_found_is_all_right() -> None:
    persons = scene((1, 0, 0, 200), (1, 300, 0, 90), (2, 0, 0, 200))
    result = coco_oks(Detections(persons.points, np.ones(3), persons.images), persons)
    assert result.mean == pytest.approx(100)
    assert result.parts == pytest.approx(dict.fromkeys(["AP50", "AP75", "APM", "APL", "AR"], 100))
    assert (result.protocol, result.persons) == ("coco-oks", 3)


def test_one_person_counts_at_the_thresholds_below_its_similarity() -> None:
    persons = scene((1, 0, 0, 200))
    result = coco_oks(detected(persons, [0.77], [1.0]), persons)
    # 0.50, 0.55, ... 0.75: six of ten thresholds.
    assert result.mean == pytest.approx(60)
    assert result.parts["AR"] == pytest.approx(60)
    assert (result.parts["AP50"], result.parts["AP75"]) == (pytest.approx(100), pytest.approx(100))
    assert math.isnan(result.parts["APM"])  # nobody is of medium size
    assert result.parts["APL"] == pytest.approx(60)


def test_a_miss_and_a_false_alarm_by_hand() -> None:
    """Two persons; the surest detection is wrong, the second right, one person is never found."""
    persons = scene((1, 0, 0, 200), (1, 1000, 0, 200))
    points = np.stack([persons.points[0] + 5000, persons.points[0]])
    result = coco_oks(Detections(points, np.array([0.9, 0.8]), np.array([1, 1])), persons)
    # Precision 1/2 up to recall 1/2, which holds 51 of the 101 recalls; then nothing.
    assert result.mean == pytest.approx(100 * 51 / 101 / 2)
    assert result.parts["AR"] == pytest.approx(50)


def test_a_person_is_found_once() -> None:
    """The second detection of a person is a false alarm, after the full recall."""
    persons = scene((1, 0, 0, 200), (2, 0, 0, 200))
    points = np.stack([persons.points[0], persons.points[0] + 0.1, persons.points[1]])
    result = coco_oks(Detections(points, np.array([0.9, 0.8, 0.7]), np.array([1, 1, 2])), persons)
    # Right, wrong, right: precision 1 up to half, then 2/3.
    assert result.mean == pytest.approx(100 * (51 + 50 * 2 / 3) / 101)
    assert result.parts["AR"] == pytest.approx(100)


def test_the_surest_detection_chooses_first() -> None:
    """The surest takes its best, a person whom the other fits better; that one goes without."""
    persons = scene((1, 0, 0, 200))
    better, worse = persons.points[0], shift_for(0.6, persons.areas[0])(persons.points[0])
    points = np.stack([better, worse])
    result = coco_oks(Detections(points, np.array([0.1, 0.9]), np.array([1, 1])), persons)
    # At 0.50 to 0.60 (three thresholds, the third not quite) the worse is right and first; above,
    # it is a false alarm before the better: precision 1/2.
    wrong_first = 100 * 0.5
    found = sum(t <= 0.6 for t in np.linspace(0.5, 0.95, 10) - 1e-9)
    assert result.mean == pytest.approx((found * 100 + (10 - found) * wrong_first) / 10)


def test_crowds_swallow_any_number_of_detections() -> None:
    persons = scene((1, 0, 0, 200), (1, 1000, 0, 200))
    persons.crowds[1] = True
    persons.annotated[1] = False
    points = np.stack([persons.points[1], persons.points[1] + 1, persons.points[0]])
    result = coco_oks(Detections(points, np.array([0.9, 0.8, 0.7]), np.array([1, 1, 1])), persons)
    assert result.mean == pytest.approx(100)
    assert result.persons == 1


def test_people_without_joints_swallow_one_detection() -> None:
    persons = scene((1, 0, 0, 200), (1, 1000, 0, 200))
    persons.annotated[1] = False
    points = np.stack([persons.points[1], persons.points[1] + 1, persons.points[0]])
    result = coco_oks(Detections(points, np.array([0.9, 0.8, 0.7]), np.array([1, 1, 1])), persons)
    assert result.mean == pytest.approx(50)  # one false alarm before the person


def test_a_labelled_person_is_preferred_to_one_that_is_passed_over() -> None:
    persons = scene((1, 0, 0, 200), (1, 0, 0, 200))
    persons.crowds[0] = True
    points = shift_for(0.8, persons.areas[1])(persons.points[1])[None]
    persons.points[0] = points[0]  # the crowd fits perfectly
    result = coco_oks(Detections(points, np.ones(1), np.array([1])), persons)
    assert result.parts["AP75"] == pytest.approx(100)


def test_sizes_are_told_by_area() -> None:
    """Areas 512, 32^2 + 1, 95^2 and 100^2: small, medium, medium, large."""
    persons = scene((1, 0, 0, 32), (2, 0, 0, 60), (3, 0, 0, 150), (4, 0, 0, 150))
    persons.areas[:] = [512, 1025, 9025, 10000]
    points = persons.points.copy()
    points[1] += 5000
    result = coco_oks(Detections(points, np.array([1, 0.9, 0.8, 0.7]), persons.images), persons)
    # Among the medium one is missed; the stray detection is of medium size too and comes first,
    # and what found the others counts neither way.
    assert result.parts["APM"] == pytest.approx(100 * 51 / 101 / 2)
    # The stray is no false alarm among the large.
    assert result.parts["APL"] == pytest.approx(100)


def test_twenty_detections_a_picture_count() -> None:
    persons = scene((1, 0, 0, 200), (2, 0, 0, 200))
    stray = persons.points[0] + 5000
    points = np.stack([*[stray] * 20, persons.points[0], persons.points[1]])
    scores = np.array([*[0.5] * 20, 0.4, 0.9])
    images = np.array([1] * 21 + [2])
    result = coco_oks(Detections(points, scores, images), persons)
    assert result.mean == pytest.approx(100 * 51 / 101)  # the 21st is cut off
    fewer = Detections(points[1:], scores[1:], images[1:])
    assert coco_oks(fewer, persons).mean == pytest.approx(100 * (51 + 50 * 2 / 21) / 101)


def test_nothing_detected_is_nothing_right() -> None:
    persons = scene((1, 0, 0, 200))
    nothing = Detections(np.zeros((0, 17, 2)), np.zeros(0), np.zeros(0, int))
    result = coco_oks(nothing, persons)
    assert (result.mean, result.parts["AR"]) == (0, 0)


def test_detections_in_pictures_without_people_are_wrong() -> None:
    persons = scene((2, 0, 0, 200))
    points = np.stack([persons.points[0]] * 2)
    result = coco_oks(Detections(points, np.array([0.9, 0.8]), np.array([1, 2])), persons)
    assert result.mean == pytest.approx(50)


def test_what_cannot_be_scored_is_told() -> None:
    persons = scene((1, 0, 0, 200))
    with pytest.raises(UserError, match=r"wants points N x 17 x 2, got 1 x 14 x 2"):
        coco_oks(Detections(np.zeros((1, 14, 2)), np.ones(1), np.ones(1, int)), persons)
    persons.annotated[:] = False
    with pytest.raises(UserError, match="no person has a labelled joint"):
        coco_oks(Detections(persons.points, np.ones(1), persons.images), persons)


# --- the same by a plain loop, after cocodataset.org's description


def plain_similarity(points: np.ndarray, person: dict[str, object]) -> float:
    x0, y0, x1, y1 = person["box"]  # type: ignore[misc]
    width, height = x1 - x0, y1 - y0
    terms = []
    labelled = any(person["annotated"])  # type: ignore[call-overload]
    for k in range(17):
        px, py = points[k]
        if labelled:
            if not person["annotated"][k]:  # type: ignore[index]
                continue
            tx, ty = person["points"][k]  # type: ignore[index]
            dx, dy = px - tx, py - ty
        else:
            dx = max(0, x0 - width - px) + max(0, px - (x1 + width))
            dy = max(0, y0 - height - py) + max(0, py - (y1 + height))
        terms.append(
            math.exp(-(dx * dx + dy * dy) / (2 * float(person["area"]) * KAPPA[k] ** 2))  # type: ignore[arg-type]
        )
    return sum(terms) / len(terms)


def plain_average_precision(
    detections: Detections, persons: Persons, low: float, high: float
) -> tuple[list[float], list[float]]:
    """Average precision and recall by threshold, for persons of some area."""
    precisions, recalls = [], []
    for threshold in [0.5 + 0.05 * step for step in range(10)]:
        verdicts: list[tuple[float, bool]] = []
        wanted = 0
        for image in sorted({*persons.images.tolist(), *detections.images.tolist()}):
            people = []
            for n in np.flatnonzero(persons.images == image):
                area = float(persons.areas[n])
                unlabelled = not persons.annotated[n].any()
                skip = bool(persons.crowds[n]) or unlabelled or not low <= area <= high
                wanted += not skip
                people.append(
                    {
                        "points": persons.points[n], "annotated": persons.annotated[n],
                        "area": area, "box": persons.boxes[n], "skip": skip,
                        "crowd": bool(persons.crowds[n]), "free": True,
                    }
                )  # fmt: skip
            found = np.flatnonzero(detections.images == image)
            for row in sorted(found, key=lambda row: -detections.scores[row])[:20]:
                points = detections.points[row]
                best, best_value = None, threshold
                for skipped in (False, True):
                    for one in people:
                        if one["skip"] == skipped and (one["free"] or one["crowd"]):
                            value = plain_similarity(points, one)
                            if value >= best_value:
                                best, best_value = one, value
                    if best is not None:
                        break
                extent = math.prod(points.max(axis=0) - points.min(axis=0))
                if best is not None:
                    best["free"] = False
                    if not best["skip"]:
                        verdicts.append((float(detections.scores[row]), True))
                elif low <= extent <= high:
                    verdicts.append((float(detections.scores[row]), False))
        verdicts.sort(key=lambda verdict: -verdict[0])
        curve = []
        for seen in range(1, len(verdicts) + 1):
            right = sum(verdict for _, verdict in verdicts[:seen])
            curve.append((right / wanted if wanted else 0, right / seen))
        # COCO compares floats as they are: 7 of 10 does not reach its recall 0.7000000000000001.
        heights = [
            max((p for r, p in curve if r >= recall), default=0.0)
            for recall in np.linspace(0, 1, 101)
        ]
        precisions.append(sum(heights) / 101 if wanted else math.nan)
        recalls.append(max((r for r, _ in curve), default=0.0) if wanted else math.nan)
    return precisions, recalls


def random_scene(seed: int) -> tuple[Detections, Persons]:
    """Some pictures of some persons each, close to one another, and detections near them."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 14))
    sides = rng.choice([20, 50, 90, 200], count) * rng.uniform(0.8, 1.2, count)
    people = scene(
        *zip(
            rng.integers(0, 4, count).tolist(),
            rng.uniform(0, 120, count),
            rng.uniform(0, 120, count),
            sides,
            strict=True,
        )
    )
    people.annotated[:] = rng.random((count, 17)) < 0.7
    people.annotated[rng.random(count) < 0.15] = False
    people.annotated[0] = True
    people.crowds[1:] = rng.random(count - 1) < 0.15
    chosen = rng.integers(0, count, int(rng.integers(1, 40)))
    noise = rng.normal(0, 1, (len(chosen), 17, 2)) * rng.uniform(0, 0.15, (len(chosen), 1, 1))
    points = people.points[chosen] + noise * sides[chosen, None, None]
    images = np.where(rng.random(len(chosen)) < 0.1, 9, people.images[chosen])
    return Detections(points, rng.permutation(len(chosen)) / 100.0, images), people


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 100_000))
def test_random_scenes_score_as_a_plain_loop_does(seed: int) -> None:
    detections, persons = random_scene(seed)
    result = coco_oks(detections, persons)
    precision, recall = plain_average_precision(detections, persons, 0, 1e10)
    medium, _ = plain_average_precision(detections, persons, 32**2, 96**2)
    large, _ = plain_average_precision(detections, persons, 96**2, 1e10)
    found = [result.mean, *result.parts.values()]
    assert list(result.parts) == ["AP50", "AP75", "APM", "APL", "AR"]
    expected = [np.mean(precision), precision[0], precision[5]]
    expected += [np.mean(medium), np.mean(large), np.mean(recall)]
    assert found == pytest.approx([100 * value for value in expected], nan_ok=True)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 100_000))
def test_the_order_of_detections_does_not_matter(seed: int) -> None:
    detections, persons = random_scene(seed)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(detections.scores))
    turned = Detections(**{name: values[rows] for name, values in vars(detections).items()})
    expected, found = coco_oks(detections, persons), coco_oks(turned, persons)
    assert found.mean == pytest.approx(expected.mean)
    assert found.parts == pytest.approx(expected.parts, nan_ok=True)


def test_the_labels_are_left_as_they_were() -> None:
    detections, persons = random_scene(3)
    before = [values.copy() for values in (*vars(persons).values(), *vars(detections).values())]
    coco_oks(detections, persons)
    after = [*vars(persons).values(), *vars(detections).values()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("missing", [[np.nan, np.nan], [np.nan, 3], [np.inf, np.inf], [1e5, 0]])
def test_a_joint_without_a_prediction_is_as_one_that_is_far_away(missing: list[float]) -> None:
    persons = scene((1, 10, 20, 100), (2, 10, 20, 100))
    found = detected(persons, [1.0, 1.0], [0.9, 0.8])
    found.points[0, 0] = missing
    # 16 of 17 joints: right up to 0.90, and wrong at 0.95.
    assert similarity(found.points, persons).tolist() == pytest.approx([16 / 17, 1])
    assert coco_oks(found, persons).mean == pytest.approx(100 * (9 + 51 / 101 / 2) / 10, abs=0.5)


def test_what_is_not_labelled_weighs_nothing_whatever_it_holds() -> None:
    persons = scene((1, 10, 20, 100))
    found = detected(persons, [1.0], [0.9])
    persons.annotated[0, 3] = False
    for of_label in (np.nan, np.inf, 1e9):
        persons.points[0, 3] = of_label
        assert similarity(found.points, persons).tolist() == [pytest.approx(1)]
        found.points[0, 3] = np.nan
        assert coco_oks(found, persons).mean == pytest.approx(100)


def test_each_joint_has_its_own_mean_similarity() -> None:
    persons = scene((1, 0, 0, 200), (2, 0, 0, 200), (3, 0, 0, 200))
    points = persons.points.copy()
    wrist = COCO17.index("left_wrist")
    away = 2 * 0.062 * math.sqrt(2 * persons.areas[0])  # by which a joint's own is 1 / e
    points[0, wrist, 0] += away
    persons.annotated[1, wrist] = False
    points[2] += 1000  # found by nobody
    result = coco_oks(Detections(points, np.ones(3), persons.images), persons)
    assert result.joints["left_wrist"] == pytest.approx(100 / math.e)
    assert result.joints["nose"] == pytest.approx(100)
    assert list(result.joints) == list(COCO17.joints)


def test_other_constants_and_joints() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 100, (2, 3, 2))
    persons = Persons(
        points=places, annotated=np.ones((2, 3), bool), images=np.arange(2),
        areas=np.full(2, 5000.0), boxes=np.array([[0.0, 0, 100, 100]] * 2),
        crowds=np.zeros(2, bool),
    )  # fmt: skip
    points = places.copy()
    points[:, 0, 0] += 10
    sigmas = np.array([0.05, 0.1, 0.1])
    one = math.exp(-100 / (2 * 5000 * 0.1**2))
    assert similarity(points, persons, sigmas) == pytest.approx([(2 + one) / 3] * 2)
    result = coco_oks(
        Detections(points, np.ones(2), np.arange(2)), persons,
        sigmas=sigmas, joints=("a", "b", "c"), name="oks",
    )  # fmt: skip
    assert result.joints == pytest.approx({"a": 100 * one, "b": 100, "c": 100})
    assert (result.protocol, result.mean) == ("oks", pytest.approx(60))  # 0.79 passes 6 of 10


def test_constants_are_found_again_in_labels_that_stray_by_them() -> None:
    rng = np.random.default_rng(0)
    sigmas, areas = np.array([0.03, 0.1]), rng.uniform(1000, 9000, 4000)
    truth = rng.uniform(0, 100, (4000, 2, 2))
    # A label strays sigma times the root of the area: in each of x and y over the root of two.
    spread = sigmas[None, :, None] * np.sqrt(areas / 2)[:, None, None]
    first, second = (truth + rng.normal(size=truth.shape) * spread for _ in range(2))
    annotated = rng.random((4000, 2)) < 0.8
    second[~annotated] = 1e6
    assert estimate_sigmas(first, second, annotated, areas) == pytest.approx(sigmas, rel=0.05)
    assert np.isnan(estimate_sigmas(first, second, np.zeros_like(annotated), areas)).all()
