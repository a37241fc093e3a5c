import numpy as np
import pytest
import torch
from conftest import OnnxModels

from spcnet.checkpoints import load_checkpoint
from spcnet.codec import square_of_box
from spcnet.data.datasets import SyntheticFigures, open_dataset
from spcnet.errors import UserError
from spcnet.export.samples import check_crops, dataset_crops
from spcnet.inference.estimator import PoseEstimator
from spcnet.media.images import Picture

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("form", ["keypoints", "heatmaps"])
def test_both_forms_agree_with_torch(onnx_models: OnnxModels, form: str) -> None:
    from spcnet.export.agreement import agreement
    from spcnet.export.onnx_file import finish

    network, card = load_checkpoint(onnx_models.checkpoint)
    model = finish(onnx_models.traced, card, form)  # type: ignore[arg-type]
    found = agreement(model, network, card.codec, check_crops(card.codec))
    found.check()
    assert len(found.moved) > 5 * 14  # clear ones, counted at both batch sizes


def test_other_weights_are_refused(onnx_models: OnnxModels) -> None:
    from spcnet.export.agreement import agreement

    network, card = load_checkpoint(onnx_models.checkpoint)
    assert isinstance(network.head, torch.nn.Conv2d)
    network.head.weight.data *= 1.01
    found = agreement(onnx_models.traced, network, card.codec, check_crops(card.codec))
    assert found.heatmaps > 1e-4
    with pytest.raises(UserError, match="does not find what torch finds, so no file was written"):
        found.check()


def test_keypoints_without_a_clear_peak_do_not_count(onnx_models: OnnxModels) -> None:
    from spcnet.export.agreement import agreement

    network, card = load_checkpoint(onnx_models.checkpoint)
    assert isinstance(network.head, torch.nn.Conv2d)
    network.head.weight.data *= 0  # flat heatmaps
    found = agreement(onnx_models.traced, network, card.codec, check_crops(card.codec))
    assert len(found.moved) == 0


def test_crops_are_those_that_the_estimator_cuts(onnx_models: OnnxModels) -> None:
    estimator = PoseEstimator(str(onnx_models.checkpoint), device="cpu")
    figures = SyntheticFigures("1-3")
    expected = [
        estimator.crops.cut([Picture.of(image)], [square_of_box(person.box)])[0]
        for image, person in figures.samples()
    ]
    crops = dataset_crops(figures, estimator.codec, 3)
    assert np.array_equal(crops, np.stack(expected))
    assert np.array_equal(check_crops(estimator.codec)[:3], crops)
    assert len(dataset_crops(open_dataset("synthetic", None, "1-9"), estimator.codec, 2)) == 2
