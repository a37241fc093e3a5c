import re

import numpy as np
import pytest

from spcnet.skeletons import Skeleton
from spcnet.viz.contact_page import Entry, contact_page
from spcnet.viz.contact_sheet import GAP, HEADER, LINE, STYLE, contact_sheet, draw_labels

DOTS = Skeleton(name="dots", joints=("left_dot", "right_dot"), limbs=(("left_dot", "right_dot"),))
GREY = np.full((100, 100, 3), 128, np.uint8)
POINTS = np.array([[20.0, 50.0], [80.0, 50.0]])
BOTH = np.array([True, True])


def test_a_visible_joint_is_a_dot_and_an_occluded_one_a_ring() -> None:
    drawn = draw_labels(GREY, POINTS, BOTH, np.array([True, False]), DOTS)
    assert np.abs(drawn[50, 20].astype(int) - STYLE.left).max() < 12
    assert drawn[50, 80].max() < 60  # the ring's dark middle
    blueish = (np.abs(drawn[50, 70:90].astype(int) - STYLE.right).max(axis=-1) < 40).sum()
    assert blueish >= 1
    assert (GREY == 128).all()


def test_a_limb_to_an_occluded_joint_is_fainter() -> None:
    sure = draw_labels(GREY, POINTS, BOTH, BOTH, DOTS)
    faint = draw_labels(GREY, POINTS, BOTH, np.array([True, False]), DOTS)
    away = np.abs(np.stack([sure, faint])[:, 50, 50].astype(int) - 128).sum(axis=-1)
    assert 0 < away[1] < 0.7 * away[0]


def test_what_is_not_labelled_is_left_out_with_its_limbs() -> None:
    alone = draw_labels(GREY, POINTS, np.array([True, False]), BOTH, DOTS)
    assert (alone[:, 30:] == 128).all()
    assert (alone[45:55, 15:25] != 128).any()
    nobody = draw_labels(GREY, POINTS, ~BOTH, BOTH, DOTS)
    assert (nobody == 128).all()


@pytest.mark.parametrize("far", [np.nan, 1e12, -1e12])
def test_where_an_unlabelled_joint_is_said_to_be_does_not_matter(far: float) -> None:
    points = np.array([POINTS[0], [far, far]])
    labelled = np.array([True, False])
    expected = draw_labels(GREY, POINTS, labelled, labelled, DOTS)
    assert (draw_labels(GREY, points, labelled, labelled, DOTS) == expected).all()


def test_a_labelled_joint_far_outside_is_survived() -> None:
    points = np.array([POINTS[0], [1e6, -1e6]])
    assert draw_labels(GREY, points, BOTH, ~BOTH, DOTS).shape == GREY.shape


def test_a_sheet_holds_each_tile_in_its_place() -> None:
    tiles = [np.full((300, 300, 3), 10 * n, np.uint8) for n in range(1, 6)]
    sheet = contact_sheet(tiles, [("a", "b")] * 5, columns=3, title="five")
    assert sheet.shape == (HEADER + GAP + 2 * (300 + 2 * LINE + GAP), GAP + 3 * (300 + GAP), 3)
    for n, tile in enumerate(tiles):
        x = GAP + n % 3 * (300 + GAP)
        y = HEADER + GAP + n // 3 * (300 + 2 * LINE + GAP)
        assert (sheet[y : y + 300, x : x + 300] == tile).all()
        assert sheet[y + 300 : y + 300 + 2 * LINE, x : x + 300].min() < 120  # the caption


def test_a_long_caption_stays_under_its_tile() -> None:
    tiles = [GREY, GREY]
    short = contact_sheet(tiles, [("", ""), ("", "")], columns=2, title="")
    long = contact_sheet(tiles, [("x" * 400, "y" * 400), ("", "")], columns=2, title="z" * 999)
    assert long.shape == short.shape
    right = GAP + 100 + 1
    assert (long[HEADER + GAP :, right:] == short[HEADER + GAP :, right:]).all()


def entry(**changes: object) -> Entry:
    values = {
        "thumbnail": b"jpeg", "picture": "a.jpg", "number": "7", "joints": DOTS.joints,
        "missing": ("left_dot",), "occluded": (), "crop_side": 81.6,
    }  # fmt: skip
    return Entry(**{**values, **changes})  # type: ignore[arg-type]


def test_a_page_tells_all_in_words() -> None:
    page = contact_page([entry()], title="dots val", note="1 of 9 persons")
    assert 'alt="Person 7 in a.jpg: 1 of 2 joints labelled; missing left dot"' in page
    assert "<dt>missing</dt><dd>left dot</dd><dt>occluded</dt><dd>none</dd>" in page
    assert "<dt>crop</dt><dd>82 px</dd>" in page
    assert 'data-found-by="missing left dot"' in page
    assert "data:image/jpeg;base64,anBlZw==" in page
    assert '<label for="filter">' in page
    assert '<html lang="en">' in page


def test_a_page_fetches_nothing_and_names_cannot_break_it() -> None:
    name = '"><script>alert(1)</script>{0}.jpg'
    page = contact_page([entry(picture=name)], title="<b>", note="&")
    assert "alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{0}.jpg" in page
    assert "<title>&lt;b&gt;</title>" in page
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "http://" not in page and "https://" not in page
