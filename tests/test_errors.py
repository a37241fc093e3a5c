import pytest

from spcnet.errors import UserError, counted, needs_extra


def test_one_thing_is_not_called_several() -> None:
    assert [counted(n, "picture") for n in (0, 1, 2, 2958)] == [
        "0 pictures", "1 picture", "2 pictures", "2,958 pictures"
    ]  # fmt: skip
    assert [counted(n, "box", "boxes") for n in (1, 2)] == ["1 box", "2 boxes"]


def test_a_missing_extra_is_named_with_its_remedy() -> None:
    with (
        pytest.raises(UserError, match=r"^flying needs wings_of_wax: pip install 'spcnet\[sky\]'$"),
        needs_extra("sky", "flying"),
    ):
        import wings_of_wax  # type: ignore[import-not-found]  # noqa: F401
