import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from making_videos import make_video, plain_pictures

from spcnet.errors import UserError
from spcnet.media.camera import Latest, newest, played_pictures

GREY = np.zeros((2, 2, 3), dtype=np.uint8)


def test_the_latest_is_handed_on_once_and_what_came_between_is_missed() -> None:
    latest: Latest[str] = Latest()
    assert latest.after(0) is None
    latest.put("first")
    latest.put("second")
    assert latest.after(0) == (2, "second")
    assert latest.after(2) is None
    latest.close()
    assert latest.closed and latest.after(2) is None


def test_live_pictures_are_the_newest_with_times_from_the_first() -> None:
    seen, given = threading.Event(), threading.Event()

    def pictures() -> Iterator[np.ndarray]:
        yield GREY
        seen.wait(9)
        for n in range(1, 50):
            yield GREY + n
        given.set()

    live = newest(pictures(), stop=lambda: False)  # type: ignore[arg-type]
    assert next(live)[0] == 0
    seen.set()
    given.wait(9)
    time, picture = next(live)
    assert time > 0 and picture[0, 0, 0] == 49
    assert list(live) == []


def test_what_ends_a_camera_is_told_after_its_last_picture() -> None:
    def pictures() -> Iterator[np.ndarray]:
        yield GREY
        raise UserError("unplugged")

    found = []
    with pytest.raises(UserError, match="unplugged"):
        found.extend(newest(pictures(), stop=lambda: False))  # type: ignore[arg-type]


def test_the_wish_to_stop_is_heard_while_nothing_comes() -> None:
    released, asked = threading.Event(), threading.Event()

    def pictures() -> Iterator[np.ndarray]:
        yield GREY
        asked.set()
        released.wait(9)

    live = newest(pictures(), stop=asked.is_set)  # type: ignore[arg-type]
    threading.Timer(0.5, released.set).start()
    assert len(list(live)) <= 1


def test_a_video_plays_over_and_over(tmp_path: Path) -> None:
    path = make_video(tmp_path / "in.mp4", plain_pictures(3), times=[0, 10, 20])
    playing = played_pictures(path)
    first, _, _, again = (next(playing) for _ in range(4))
    playing.close()
    assert np.array_equal(first, again)
