import pytest

from spcnet.errors import UserError, needs_extra


def test_a_missing_extra_is_named_with_its_remedy() -> None:
    with (
        pytest.raises(UserError, match=r"^flying needs wings_of_wax: pip install 'spcnet\[sky\]'$"),
        needs_extra("sky", "flying"),
    ):
        import wings_of_wax  # type: ignore[import-not-found]  # noqa: F401
