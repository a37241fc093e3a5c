import math

import pytest
import torch

from spcnet.codec import HeatmapKind
from spcnet.heatmaps import cells_to_pixels, gaussian_heatmaps
from spcnet.training.losses import Doubts, LabelNoise, Taught, heatmap_loss

CELLS = torch.tensor([[[3.0, 4.0], [6.5, 2.25]]], dtype=torch.float64)  # (1, 2, 2)
POINTS = cells_to_pixels(CELLS, 4)
BOTH = torch.ones(1, 2, dtype=torch.bool)
TARGET = gaussian_heatmaps(CELLS, (8, 8), sigma=1.0)


def loss(outputs: list[torch.Tensor], annotated: torch.Tensor = BOTH, **kwargs: object) -> float:
    options = {"kind": "gaussian", "sigma": 1.0, "stride": 4} | kwargs
    return heatmap_loss(outputs, POINTS, annotated, **options).sum().item()  # type: ignore[arg-type]


def test_squared_error_is_half_the_mean_summed_over_outputs() -> None:
    assert loss([TARGET]) == pytest.approx(0, abs=1e-12)
    assert loss([TARGET + 2]) == pytest.approx(2)
    assert loss([TARGET + 2, TARGET + 1, TARGET]) == pytest.approx(2.5)


def test_each_output_has_its_own_loss() -> None:
    outputs = [TARGET + 2, TARGET + 1, TARGET]
    for kind in ("gaussian", "softmax", "softmax_absent"):
        losses = heatmap_loss(outputs, POINTS, BOTH, kind=kind, sigma=1.0, stride=4)
        assert losses.shape == (3,)
        assert losses.sum().item() == pytest.approx(loss(outputs, kind=kind))
    assert heatmap_loss(
        outputs, POINTS, BOTH, kind="gaussian", sigma=1.0, stride=4
    ).tolist() == pytest.approx([2, 0.5, 0])


def test_a_missing_joint_weighs_nothing_and_the_divisor_stays() -> None:
    wrong = TARGET.clone()
    wrong[:, 1] += 2
    first_only = torch.tensor([[True, False]])
    assert loss([wrong], first_only) == pytest.approx(0, abs=1e-12)
    assert loss([wrong]) == pytest.approx(1)


def test_processes_and_batches_add_up() -> None:
    torch.manual_seed(0)
    output = torch.randn(4, 2, 8, 8, dtype=torch.float64)
    points = POINTS.expand(4, 2, 2) + torch.randn(4, 1, 2, dtype=torch.float64)
    annotated = torch.tensor([[True, True], [True, False], [False, False], [True, True]])
    for kind in ("gaussian", "softmax", "softmax_absent"):
        options = {"kind": kind, "sigma": 1.0, "stride": 4}
        whole = heatmap_loss([output], points, annotated, **options)  # type: ignore[arg-type]
        halves = [
            heatmap_loss([output[rows]], points[rows], annotated[rows], **options)  # type: ignore[arg-type]
            for rows in (slice(0, 2), slice(2, 4))
        ]
        assert whole.item() == pytest.approx(float(sum(halves)) / 2)


def test_cross_entropy_is_least_at_the_target() -> None:
    share = TARGET / TARGET.sum((-1, -2), keepdim=True)
    entropy = -(share * share.clamp_min(1e-300).log()).sum((-1, -2)).mean().item()
    assert loss([share.clamp_min(1e-30).log()], kind="softmax") == pytest.approx(entropy, rel=1e-3)
    assert loss([torch.zeros_like(TARGET)], kind="softmax") == pytest.approx(math.log(64))


def test_cross_entropy_leaves_out_joints_outside_the_crop() -> None:
    outside = POINTS.clone()
    outside[0, 1, 0] = 40.0  # the crop is 32 px wide
    only = heatmap_loss([torch.zeros(1, 2, 8, 8)], outside, BOTH, kind="softmax", sigma=1, stride=4)
    assert only.item() == pytest.approx(math.log(64) / 2)


def test_a_place_for_absent_joints_is_right_for_those_outside_the_crop() -> None:
    options = {"kind": "softmax_absent", "sigma": 1.0, "stride": 4}
    # All logits 0: 64 cells and the place for absent joints are equally likely.
    assert loss([torch.zeros_like(TARGET)], **options) == pytest.approx(math.log(65))
    outside = POINTS.clone()
    outside[0, 1, 0] = 40.0
    logits = torch.zeros(1, 2, 8, 8)
    logits[0, 1] = -3.0  # "not here", everywhere
    both = heatmap_loss([logits], outside, BOTH, **options)  # type: ignore[arg-type]
    gone = math.log(1 + 64 * math.exp(-3))
    assert both.item() == pytest.approx((math.log(65) + gone) / 2, rel=1e-5)
    unlabelled = torch.tensor([[True, False]])
    only = heatmap_loss([logits], outside, unlabelled, **options)  # type: ignore[arg-type]
    assert only.item() == pytest.approx(math.log(65) / 2, rel=1e-5)


def test_squared_error_wants_nothing_of_a_joint_that_was_cut_off() -> None:
    outside = POINTS.clone()
    outside[0, 1, 0] = 400.0
    wanted = TARGET.clone()
    wanted[:, 1] = 0
    value = heatmap_loss([wanted], outside, BOTH, kind="gaussian", sigma=1.0, stride=4)
    assert value.item() == pytest.approx(0, abs=1e-12)


def test_bf16_outputs_are_scored_in_float32() -> None:
    half = (TARGET + 2).bfloat16()
    value = heatmap_loss([half], POINTS.float(), BOTH, kind="gaussian", sigma=1.0, stride=4)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(2, rel=1e-2)


def logits_of(cells: torch.Tensor, *, sharpness: float = 1.0) -> torch.Tensor:
    """Logits of a network that is sure of points, as sure as their targets are wide."""
    return sharpness * gaussian_heatmaps(cells, (8, 8), sigma=1.0).clamp_min(1e-30).log()


def forgiving(logits: torch.Tensor, annotated: torch.Tensor = BOTH, **shares: float) -> float:
    noise = LabelNoise(**{"astray": 0.0, "swapped": 0.0} | shares, mirror=[1, 0])
    return loss([logits], annotated, kind="softmax", noise=noise)


FLIPPED = CELLS.flip(1)
FAR = torch.tensor([[[0.0, 0.0], [6.5, 2.25]]], dtype=torch.float64)  # the first joint is elsewhere


def test_right_labels_cost_what_they_cost_without_noise() -> None:
    plain = loss([logits_of(CELLS)], kind="softmax")
    assert plain < forgiving(logits_of(CELLS), astray=0.1) < plain - math.log(0.9)
    # A pair shares the one constant.
    assert forgiving(logits_of(CELLS), swapped=0.1) == pytest.approx(
        plain - math.log(0.9) / 2, abs=1e-6
    )


def test_a_label_that_went_astray_costs_no_more_than_one_that_may_be_anywhere() -> None:
    share = TARGET / TARGET.sum((-1, -2), keepdim=True)
    entropy = -(share * share.log()).sum((-1, -2))[0]
    bound = ((-math.log(0.1) + math.log(64)) + (entropy[1] - math.log(0.9))).item() / 2
    for sharpness in (2.0, 5.0):
        logits = logits_of(FAR, sharpness=sharpness)
        logits[:, 1] = logits_of(FAR)[:, 1]
        assert loss([logits], kind="softmax") > bound + 1
        assert bound - 0.02 < forgiving(logits, astray=0.1) < bound


def test_a_sure_network_is_pulled_less_by_a_label_far_away() -> None:
    pulls = {}
    for name, noise in {"plain": None, "forgiving": LabelNoise(0.1, 0.0, [1, 0])}.items():
        logits = logits_of(FAR).requires_grad_()
        options = {"kind": "softmax", "sigma": 1.0, "stride": 4, "noise": noise}
        heatmap_loss([logits], POINTS, BOTH, **options).sum().backward()  # type: ignore[arg-type]
        assert logits.grad is not None
        pulls[name] = logits.grad[0].abs().sum((-1, -2))
    assert pulls["forgiving"][0] < 0.05 * pulls["plain"][0]  # the one that is far away
    assert pulls["forgiving"][1] == pytest.approx(0.0, abs=1e-6)  # the one that agrees


def test_swapped_labels_cost_little_where_the_network_sees_them_swapped() -> None:
    plain = loss([logits_of(CELLS)], kind="softmax")
    swapped = loss([logits_of(FLIPPED)], kind="softmax")
    assert swapped > plain + 3
    assert forgiving(logits_of(FLIPPED), swapped=0.1) == pytest.approx(
        plain - math.log(0.1) / 2, abs=1e-2
    )
    # With one of the two labelled nothing says that they were swapped.
    only = torch.tensor([[True, False]])
    expected = loss([logits_of(FLIPPED)], only, kind="softmax")
    assert forgiving(logits_of(FLIPPED), only, swapped=0.1) == pytest.approx(expected)


def test_an_undecided_network_learns_as_without_noise() -> None:
    gradients = []
    for noise in (None, LabelNoise(0.05, 0.05, [1, 0])):
        logits = torch.zeros_like(TARGET).requires_grad_()
        options = {"kind": "softmax", "sigma": 1.0, "stride": 4, "noise": noise}
        heatmap_loss([logits], POINTS, BOTH, **options).sum().backward()  # type: ignore[arg-type]
        gradients.append(logits.grad)
    assert gradients[0] is not None and gradients[1] is not None
    assert (
        torch.nn.functional.cosine_similarity(gradients[0].flatten(), gradients[1].flatten(), dim=0)
        > 0.99
    )
    assert gradients[1].norm() > 0.85 * gradients[0].norm()


def test_a_teacher_has_its_share_of_every_kind_of_loss() -> None:
    seen = FAR_SHARE
    for kind in ("gaussian", "softmax", "softmax_absent"):
        options = {"kind": kind, "sigma": 1.0, "stride": 4}
        outputs = [logits_of(CELLS).clamp_min(-20), torch.zeros_like(TARGET)]

        def value(share: float | None, options: dict[str, object] = options) -> torch.Tensor:
            taught = None if share is None else Taught(seen, share)
            return heatmap_loss(outputs, POINTS, BOTH, taught=taught, **options)  # type: ignore[arg-type]  # noqa: B023

        plain, all_taught = value(None), value(1.0)
        assert value(0.0).tolist() == pytest.approx(plain.tolist())
        assert value(0.25).tolist() == pytest.approx((0.75 * plain + 0.25 * all_taught).tolist())


@pytest.mark.parametrize("kind", ["gaussian", "softmax", "softmax_absent"])
def test_a_teacher_has_a_share_of_each_person_and_of_the_joints_that_it_knows(kind: str) -> None:
    options = {"kind": kind, "sigma": 1.0, "stride": 4}
    outputs = [torch.cat([logits_of(CELLS), logits_of(FAR)]).clamp_min(-20)]
    points, both = POINTS.repeat(2, 1, 1), BOTH.repeat(2, 1)
    places = FAR_SHARE.repeat(2, 1, 1, 1)

    def value(taught: Taught | None, rows: slice = slice(None)) -> torch.Tensor:
        return heatmap_loss(  # type: ignore[arg-type]
            [output[rows] for output in outputs], points[rows], both[rows], taught=taught, **options
        )

    shares = torch.tensor([0.0, 1.0])
    first = value(None, slice(0, 1))
    second = value(Taught(places[1:], 1.0), slice(1, 2))
    assert value(Taught(places, shares)).tolist() == pytest.approx(((first + second) / 2).tolist())
    # Of a teacher of the second joint alone, the first has its labels.
    alone = value(Taught(places[:, 1:], 1.0, joints=[1]))
    plain, everything = value(None), value(Taught(places, 1.0))
    assert not torch.allclose(everything, plain)
    only = value(Taught(places[:, :1], 1.0, joints=[0]))
    assert (alone + only).tolist() == pytest.approx((plain + everything).tolist())


def test_a_lesson_is_the_cross_entropy_to_what_the_teacher_saw() -> None:
    options = {"sigma": 1.0, "stride": 4, "taught": Taught(FAR_SHARE, 1.0)}
    flat = [torch.zeros_like(TARGET)]
    both = heatmap_loss(flat, POINTS, BOTH, kind="softmax", **options)  # type: ignore[arg-type]
    assert both.item() == pytest.approx(math.log(64))
    # Joints without a label are taught as well.
    neither = heatmap_loss(flat, POINTS, ~BOTH, kind="softmax", **options)  # type: ignore[arg-type]
    assert neither.item() == pytest.approx(math.log(64))
    # What the teacher's cells lack of 1 is asked of the place for absent joints.
    doubt = {**options, "taught": Taught(FAR_SHARE / 2, 1.0)}
    gone = logits_of(FAR) - 100.0
    value = heatmap_loss([gone], POINTS, BOTH, kind="softmax_absent", **doubt)  # type: ignore[arg-type]
    # Half of the mass is asked of cells whose logits lie a hundred lower.
    assert 50 < value.item() < 51


FAR_SHARE = gaussian_heatmaps(FAR, (8, 8), sigma=1.0)
FAR_SHARE = FAR_SHARE / FAR_SHARE.sum((-1, -2), keepdim=True)


def doubted(
    logits: torch.Tensor, *, second: float, trust: float = 1.0, to: torch.Tensor = POINTS
) -> torch.Tensor:
    """The losses (1,) with a second opinion at the points `to`."""
    options = {"kind": "softmax", "sigma": 1.0, "stride": 4}
    shape = torch.ones(1, 2, dtype=torch.float64)
    doubts = Doubts(trust * shape, to, second * shape)
    return heatmap_loss([logits], POINTS, BOTH, doubts=doubts, **options)  # type: ignore[arg-type]


OTHERS = cells_to_pixels(torch.tensor([[[6.0, 6.0], [1.0, 6.0]]], dtype=torch.float64), 4)


def test_certain_labels_cost_what_they_cost_without_doubts() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    plain = loss([logits], kind="softmax")
    assert doubted(logits, second=0.0, to=OTHERS).item() == pytest.approx(plain, rel=1e-4)


def test_a_second_opinion_is_another_way_in_which_a_label_came_about() -> None:
    """By hand: one joint, four cells, targets that are single cells."""
    places = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    logits = places.log().view(1, 1, 2, 2)
    label, other = (cells_to_pixels(torch.tensor([[c]], dtype=torch.float64), 4)
                    for c in ([0.0, 0.0], [1.0, 1.0]))  # fmt: skip
    one = torch.ones(1, 1, dtype=torch.float64)
    found = heatmap_loss(
        [logits], label, torch.ones(1, 1, dtype=torch.bool), kind="softmax", sigma=0.01, stride=4,
        doubts=Doubts(one, other, 0.25 * one),
    )  # fmt: skip
    assert found.item() == pytest.approx(-math.log(0.75 * 0.1 + 0.25 * 0.4), rel=1e-4)
    trusted = heatmap_loss(
        [logits], label, torch.ones(1, 1, dtype=torch.bool), kind="softmax", sigma=0.01, stride=4,
        doubts=Doubts(0.6 * one, other, 0 * one),
    )  # fmt: skip
    assert trusted.item() == pytest.approx(-math.log(0.6 * 0.1 + 0.4 * 0.25), rel=1e-3)


def test_the_network_decides_between_a_label_and_a_second_opinion() -> None:
    def pull(second: float) -> float:
        there = gaussian_heatmaps((OTHERS - 1.5) / 4, (8, 8), sigma=1.0)
        logits = (12 * there).requires_grad_()
        doubted(logits, second=second, to=OTHERS).sum().backward()
        assert logits.grad is not None
        return float(-logits.grad[0, 0, 4, 3])  # towards the label's cell

    assert pull(0.0) > 0.05
    assert 0 <= pull(0.1) < 0.05 * pull(0.0)


def test_losses_with_doubts_are_finite_whatever_the_network_says() -> None:
    for sharp in (1.0, 1e2, 1e4):
        logits = (torch.randn(1, 2, 8, 8) * sharp).requires_grad_()
        for share in (0.0, 0.1, 1.0):
            second = torch.full((1, 2), share)
            value = heatmap_loss(
                [logits], POINTS.float(), BOTH, kind="softmax_absent", sigma=1.0, stride=4,
                noise=LabelNoise(0.04, 0.03, (1, 0)),
                doubts=Doubts(torch.tensor([[0.4, 1.0]]), OTHERS.float(), second),
            )  # fmt: skip
            assert value.isfinite().all()
            (gradient,) = torch.autograd.grad(value.sum(), logits)
            assert gradient.isfinite().all()


def test_a_joint_that_is_known_to_be_absent_is_so_wherever_its_point_lies() -> None:
    gone = torch.tensor([[True, False]])
    logits = torch.zeros(1, 2, 8, 8, dtype=torch.float64)
    logits[:, 0] = -20  # of the first joint all is left for the last place
    first = torch.tensor([[True, False]])
    assert loss([logits], first, kind="softmax_absent", absent=gone) < 1e-6
    assert loss([logits], first, kind="softmax_absent") > 9
    assert loss([0 * TARGET], first, absent=gone) == 0
    assert loss([logits], first, kind="softmax", absent=gone) == 0  # it has no place for it


@pytest.mark.parametrize("kind", ["gaussian", "softmax", "softmax_absent"])
@pytest.mark.parametrize("noise", [None, LabelNoise(0.05, 0.03, (1, 0))])
def test_doubts_of_which_nothing_is_believed_change_neither_loss_nor_gradient(
    kind: str, noise: LabelNoise | None
) -> None:
    torch.manual_seed(0)
    start = 3 * torch.randn(2, 2, 8, 8, dtype=torch.float64)
    points = torch.cat([POINTS, POINTS + 40])  # the second person lies outside the crop
    annotated = torch.tensor([[True, False], [True, True]])
    ones = torch.ones(2, 2, dtype=torch.float64)
    found = []
    for doubts in (None, Doubts(ones, OTHERS.expand(2, 2, 2), 0 * ones)):
        logits = start.clone().requires_grad_()
        options = {"kind": kind, "sigma": 1.0, "stride": 4, "noise": noise, "doubts": doubts}
        value = heatmap_loss([logits, 2 * logits], points, annotated, **options)  # type: ignore[arg-type]
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        found.append((value.detach(), gradient))
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-12)


def of_one_joint(
    label: list[float], second: list[float], *, share: float, trust: float = 1.0, **options: object
) -> float:
    """The loss of two by two cells with probabilities 0.1 to 0.4, by targets of single cells."""
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64).log().view(1, 1, 2, 2)
    label_at, second_at = (
        cells_to_pixels(torch.tensor([[cell]], dtype=torch.float64), 4) for cell in (label, second)
    )
    one = torch.ones(1, 1, dtype=torch.float64)
    doubts = Doubts(trust * one, second_at, share * one)
    options = {"kind": "softmax", "sigma": 0.01, "stride": 4, "doubts": doubts} | options
    return heatmap_loss([logits], label_at, one.bool(), **options).item()  # type: ignore[arg-type]


def test_all_that_may_be_wrong_with_a_label_adds_up() -> None:
    """The label's cell has 0.2, the second opinion's 0.3; anywhere is a quarter."""
    label, second = [1.0, 0.0], [0.0, 1.0]
    meant = 0.9 * 0.2 + 0.1 * 0.3
    for trust, astray in ((1.0, 0.0), (0.5, 0.0), (1.0, 0.05), (0.5, 0.05)):
        noise = LabelNoise(astray, 0.0, (0,))
        found = of_one_joint(label, second, share=0.1, trust=trust, noise=noise)
        right = trust * (1 - astray)
        assert found == pytest.approx(-math.log(right * meant + (1 - right) * 0.25), rel=1e-5)


def test_a_second_opinion_outside_the_crop_says_absent_where_there_is_a_place_for_it() -> None:
    label, outside = [1.0, 0.0], [40.0, 0.0]
    assert of_one_joint(label, outside, share=0.1) == pytest.approx(-math.log(0.2))
    # Logits of 0.1 to 0.4 beside one of 1 for "absent" are 0.05 to 0.2 beside 0.5.
    found = of_one_joint(label, outside, share=0.1, kind="softmax_absent")
    assert found == pytest.approx(-math.log(0.9 * 0.1 + 0.1 * 0.5))
    # And a label outside may be mended by a second opinion inside.
    found = of_one_joint(outside, label, share=0.1, kind="softmax_absent")
    assert found == pytest.approx(-math.log(0.9 * 0.5 + 0.1 * 0.1))


def test_the_share_of_a_gradient_that_a_doubted_label_keeps_is_its_likelihoods() -> None:
    """The posterior: what the label explains of the mixture."""
    one = torch.ones(1, 1, dtype=torch.float64)
    label, second = (
        cells_to_pixels(torch.tensor([[cell]], dtype=torch.float64), 4)
        for cell in ([0.0, 0.0], [1.0, 1.0])
    )
    for odds in (0.0, 2.0, 8.0):
        gradients = []
        for share in (0.0, 0.1):
            logits = torch.tensor([[[[0.0, 0.0], [0.0, odds]]]], dtype=torch.float64)
            logits.requires_grad_()
            heatmap_loss(
                [logits], label, one.bool(), kind="softmax", sigma=0.01, stride=4,
                doubts=Doubts(one, second, share * one),
            ).sum().backward()  # fmt: skip
            assert logits.grad is not None
            gradients.append(logits.grad[0, 0].clone())
        likely = logits.detach().flatten().softmax(0)
        kept = 0.9 * likely[0] / (0.9 * likely[0] + 0.1 * likely[3])
        # Pulled towards the label with the one weight and towards the opinion with the other.
        expected = likely.view(2, 2).clone()
        expected[0, 0] -= kept
        expected[1, 1] -= 1 - kept
        torch.testing.assert_close(gradients[1], expected, rtol=1e-4, atol=1e-6)
        assert gradients[0][0, 0].item() == pytest.approx(likely[0].item() - 1, rel=1e-6)


@pytest.mark.parametrize("kind", ["softmax", "softmax_absent"])
def test_losses_stay_finite_where_nothing_is_believed_and_the_network_is_sure(kind: str) -> None:
    for size in (1e2, 1e4, 1e6):
        logits = torch.zeros(1, 2, 8, 8)
        logits[0, 0, 0, 0], logits[0, 1] = size, -size
        logits.requires_grad_()
        nothing = torch.zeros(1, 2)
        value = heatmap_loss(
            [logits], POINTS.float(), BOTH, kind=kind, sigma=1.0, stride=4,  # type: ignore[arg-type]
            noise=LabelNoise(0.04, 0.03, (1, 0)),
            doubts=Doubts(1 - nothing, torch.zeros(1, 2, 2), nothing),
        )  # fmt: skip
        value.sum().backward()
        assert logits.grad is not None
        assert value.isfinite().all() and logits.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["gaussian", "softmax", "softmax_absent"])
def test_a_joint_that_weighs_nothing_may_be_no_number(kind: HeatmapKind) -> None:
    raw = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    points = torch.full((2, 3, 2), 14.0)
    annotated = torch.tensor([[True, True, False], [False, True, True]])
    results = []
    for unknown in (3.0, float("nan"), float("inf")):
        outputs = raw.clone().requires_grad_()
        there = points.where(annotated[..., None], unknown)
        loss = heatmap_loss([outputs], there, annotated, kind=kind, sigma=1.0, stride=4)
        loss.sum().backward()
        results.append((loss.item(), outputs.grad))
    for loss, gradient in results[1:]:
        assert loss == results[0][0]
        assert torch.equal(gradient, results[0][1])
