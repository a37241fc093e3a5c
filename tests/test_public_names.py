import pytest

import spcnet


def test_the_public_names_are_these_and_load() -> None:
    assert sorted(spcnet.__all__) == [
        "Pose", "PoseEstimator", "Skeleton", "UserError", "__version__",
        "create_model", "list_models",
    ]  # fmt: skip
    assert dir(spcnet) == sorted(spcnet.__all__)
    for name in spcnet.__all__:
        assert getattr(spcnet, name) is not None


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Posse'"):
        spcnet.Posse  # noqa: B018
