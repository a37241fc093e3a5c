from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from spcnet.errors import UserError, counted, dims, in_words, needs_extra


def test_one_thing_is_not_called_several() -> None:
    assert [counted(n, "picture") for n in (0, 1, 2, 2958)] == [
        "0 pictures", "1 picture", "2 pictures", "2,958 pictures"
    ]  # fmt: skip
    assert [counted(n, "box", "boxes") for n in (1, 2)] == ["1 box", "2 boxes"]


def test_a_message_is_one_line_whatever_a_name_holds() -> None:
    assert str(UserError("a\nb.json: no\r\nsuch\u2028file")) == "a b.json: no such file"
    assert str(UserError()) == ""


def test_what_python_says_of_content_is_put_into_words() -> None:
    def words(read: Callable[[Any], object], content: Any) -> str:
        with pytest.raises(Exception) as raised:
            read(content)
        return in_words(raised.value)

    def four(content: Any) -> None:
        _, _, _, _ = content

    alien = "a value is of another kind than is wanted"
    assert [words(float, content) for content in ("a", None, 10**400)] == [
        "'a' is no number", alien, "a number is too large"
    ]  # fmt: skip
    assert [words(four, content) for content in ([1], range(5), 1)] == [
        "a list of 4 is wanted", "a list of 4 is wanted", alien
    ]  # fmt: skip
    assert words(lambda row: row["bbox"], {}) == "'bbox' is missing"
    assert in_words(ValueError("too\nwide")) == "too wide"


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (int, "wide", "must be a whole number"),
        (float, "wide", "must be a number"),
        (bool, 7, "must be true or false"),
        (str, 7, "must be a text"),
        (list[int], 7, "must be a list"),
        (Annotated[int, Field(ge=1)], 0, "must be at least 1"),
        (Annotated[float, Field(gt=0, le=1)], 1.5, "must be at most 1"),
        (Literal["one", "all"], "many", "must be 'one' or 'all'"),
        (tuple[int, int], (1, 2, 3), "must have at most 2 items"),
        (Annotated[str, Field(max_length=2)], "abc", "must have at most 2 characters"),
    ],
)
def test_what_pydantic_says_of_a_value_is_put_into_words(
    kind: Any, value: object, words: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(kind).validate_python(value)
    assert in_words(raised.value.errors()[0]["msg"]) == words


def test_a_shape_is_its_sizes() -> None:
    assert [dims(shape) for shape in ((14, 2), (3,), ())] == ["14 x 2", "3", "1"]


def test_a_missing_extra_is_named_with_its_remedy() -> None:
    with (
        pytest.raises(UserError, match=r"^flying needs wings_of_wax: pip install 'spcnet\[sky\]'$"),
        needs_extra("sky", "flying"),
    ):
        import wings_of_wax  # type: ignore[import-not-found]  # noqa: F401
