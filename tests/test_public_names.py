"""What users import and call. A change here is a change for them: CHANGELOG.md tells them."""

import inspect
from dataclasses import fields

import pytest

import spcnet
from spcnet import Pose, PoseEstimator, Skeleton, create_model, list_models

# What may be given by position, in order; what only by name; what has a default.
SIGNATURES = {
    PoseEstimator: (
        "model='default', *, device='auto', runtime='auto', flip=False, scales=None, "
        "rotations=None, refinement=None, batch_size=16, precision='fp32', finder=None"
    ),
    PoseEstimator.predict: "self, image, boxes=None, *, people='one', skeleton=None, maps=False",
    PoseEstimator.predict_many: (
        "self, images, boxes=None, *, people='one', skeleton=None, maps=False"
    ),
    PoseEstimator.heatmaps: "self, image, box",
    PoseEstimator.attention: "self, image, box",
    PoseEstimator.describe: "self",
    Pose: "keypoints, scores, box, skeleton, maps=None, presence=None",
    PoseEstimator.view: "self, skeleton",
    Pose.seen_as: "self, skeleton",
    Pose.to_dict: "self",
    Pose.to_coco: "self, *, image_id=1, annotation_id=1",
    create_model: "name, *, num_joints=16, **overrides",
    list_models: "pattern='*', *, pretrained=False",
}


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


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__qualname__)
def test_what_users_call_takes_these_arguments(function: object) -> None:
    signature = inspect.signature(function)
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    told = str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    assert told == f"({SIGNATURES[function]})"


def test_estimators_poses_and_skeletons_have_these_attributes() -> None:
    estimator = PoseEstimator(device="cpu")
    for name in ("card", "skeleton", "device", "network"):
        assert hasattr(estimator, name)
    assert [field.name for field in fields(Pose)] == [
        "keypoints",
        "scores",
        "box",
        "skeleton",
        "maps",
        "presence",
    ]
    for name in ("name", "joints", "limbs", "flip_permutation"):
        assert hasattr(estimator.skeleton, name)
    assert isinstance(estimator.skeleton, Skeleton)
