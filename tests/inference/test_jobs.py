from pathlib import PurePath

import pytest

from spcnet.inference.jobs import is_result, jobs_of_files, mirrored_names


def test_results_are_known_by_their_names() -> None:
    assert is_result("a.heatmaps-1.png") and is_result("a.attention-12.png")
    assert not is_result("a.png") and not is_result(".pose.jpg") and not is_result("pose.jpg")


@pytest.mark.parametrize(
    ("pictures", "names"),
    [
        (["b.jpg", "b.jpg.png", "b.png"], ["b.jpg", "b.jpg.png", "b.png"]),
        (["a.jpg", "b.png", "x/b.png"], ["a", "b", "x/b"]),
        (["A.png", "a.PNG", "a.jpg"], ["A.png", "a.PNG-2", "a.jpg"]),
    ],
    ids=["longer", "plain", "capitals"],
)
def test_no_two_pictures_share_a_name(pictures: list[str], names: list[str]) -> None:
    assert mirrored_names([PurePath(picture) for picture in pictures]) == names


def test_numbers_are_no_other_picture_s_name() -> None:
    jobs = jobs_of_files(["x/a.jpg", "y/a.jpg", "a-2.jpg", "A.png"])
    assert [job.name for job in jobs] == ["a", "a-3", "a-2", "A-4"]
