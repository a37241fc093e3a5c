import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import OnnxModels

from spcnet.checkpoints import load_checkpoint
from spcnet.devices import has_bfloat16
from spcnet.errors import UserError
from spcnet.inference.estimator import PoseEstimator
from spcnet.runtime import contract
from spcnet.runtime.onnxruntime import OnnxRuntime, open_session
from spcnet.synthetic.figure import render_figure

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

BOXES = [[30, 20, 120, 140], [10, 10, 90, 150], [0, 0, 159, 159]]
IMAGE = render_figure(1).image


def both(models: OnnxModels, file: Path, **options: object) -> tuple[PoseEstimator, PoseEstimator]:
    device = options.pop("device", "auto")
    return (
        PoseEstimator(str(models.checkpoint), device="cpu", **options),  # type: ignore[arg-type]
        PoseEstimator(str(file), device=device, **options),  # type: ignore[arg-type]
    )


RUNTIMES = {"auto": "onnxruntime (float32)", "openvino": "OpenVINO (float32)"}


@pytest.fixture(params=RUNTIMES)
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "openvino":
        pytest.importorskip("openvino")
    return name


class Whole:
    """A finder that takes the whole picture for a person."""

    def detect(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = picture.shape[:2]
        return np.array([[0.0, 0.0, width - 1, height - 1]]), np.array([0.9])


@pytest.mark.parametrize("form", ["keypoints", "heatmaps"])
@pytest.mark.parametrize("boxes", [BOXES, BOXES[:1], None, []], ids=["three", "one", "no", "empty"])
def test_a_file_predicts_what_its_checkpoint_predicts(
    onnx_models: OnnxModels, device: str, form: str, boxes: list[list[float]] | None
) -> None:
    ours, theirs = both(onnx_models, getattr(onnx_models, form), device=device)
    ours.finder = theirs.finder = Whole()
    expected, found = (estimator.predict(IMAGE, boxes) for estimator in (ours, theirs))
    assert len(found) == len(expected) == (1 if boxes is None else len(boxes))
    for pose, other in zip(expected, found, strict=True):
        assert other.skeleton == pose.skeleton
        assert other.keypoints == pytest.approx(pose.keypoints, abs=0.05)
        assert other.scores == pytest.approx(pose.scores, abs=1e-4)
        assert other.keypoints.dtype == np.float32
    assert theirs.describe().endswith(f"on cpu by {RUNTIMES[device]}")


@pytest.mark.parametrize(
    "options",
    [{"flip": True}, {"scales": "0.8,1.2"}, {"rotations": "-15,15"}, {"refinement": "quarter"}],
    ids=lambda options: next(iter(options)),
)
def test_with_heatmaps_everything_works(
    onnx_models: OnnxModels, device: str, options: dict[str, object]
) -> None:
    ours, theirs = both(onnx_models, onnx_models.heatmaps, device=device, **options)
    heatmaps = ours.heatmaps(IMAGE, BOXES[0])
    assert theirs.heatmaps(IMAGE, BOXES[0]) == pytest.approx(
        heatmaps, abs=1e-4 * float(np.ptp(heatmaps))
    )
    expected, found = (estimator.predict(IMAGE, BOXES[:1])[0] for estimator in (ours, theirs))
    assert found.keypoints == pytest.approx(expected.keypoints, abs=0.05)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"flip": True}, "flip needs heatmaps"),
        ({"scales": "pyranet"}, "scales pyranet needs heatmaps"),
        ({"rotations": "-15,15"}, "rotations -15 15 needs heatmaps"),
        ({"refinement": "quarter"}, "refinement 'quarter' needs heatmaps"),
    ],
    ids=["flip", "scales", "rotations", "refinement"],
)
def test_keypoints_alone_name_the_remedy(
    onnx_models: OnnxModels, options: dict[str, object], told: str
) -> None:
    with pytest.raises(UserError, match=rf"{told}.* `spcnet export --heatmaps`"):
        PoseEstimator(str(onnx_models.keypoints), **options)  # type: ignore[arg-type]
    estimator = PoseEstimator(str(onnx_models.keypoints), refinement="dark")  # the file's own
    with pytest.raises(UserError, match=r"maps=True needs heatmaps.*export --heatmaps"):
        estimator.heatmaps(IMAGE, BOXES[0])


def test_what_no_file_gives_is_told(onnx_models: OnnxModels) -> None:
    for path in (onnx_models.keypoints, onnx_models.heatmaps):
        estimator = PoseEstimator(str(path))
        with pytest.raises(UserError, match=r"gives no attention; use the \.safetensors"):
            estimator.attention(IMAGE, BOXES[0])
        with pytest.raises(UserError, match=r"torch does not run \.onnx files"):
            _ = estimator.network
        with pytest.raises(UserError, match=r"can only be run; name the \.safetensors"):
            load_checkpoint(path)
    with pytest.raises(UserError, match=r"device 'cuda': an \.onnx file runs on the cpu"):
        PoseEstimator(str(onnx_models.keypoints), device="cuda")


def test_the_network_of_a_checkpoint_can_be_looked_at(onnx_models: OnnxModels) -> None:
    estimator = PoseEstimator(str(onnx_models.checkpoint), device="cpu")
    assert estimator.network.stride == 4
    assert estimator.device == torch.device("cpu")
    assert estimator.attention(IMAGE, BOXES[0]).shape == (3, 16, 16)


def test_what_is_no_such_file_is_told(onnx_models: OnnxModels, device: str, tmp_path: Path) -> None:
    path = tmp_path / "a model.onnx"
    whole = onnx_models.keypoints.read_bytes()
    with pytest.raises(UserError, match="no such file"):
        PoseEstimator(str(path), device=device)
    for content in (b"", b"no model", whole[:40], whole[:30_000]):
        path.write_bytes(content)
        with pytest.raises(
            UserError, match=r"a model\.onnx: (not an ONNX model|holds no)"
        ) as caught:
            PoseEstimator(str(path), device=device)
        assert "\n" not in str(caught.value)
    model = onnx.load_from_string(whole)
    card = model.metadata_props[0].value
    for key, value, told in (
        ("spcnet", "{}", "its model card cannot be read"),
        ("spcnet", card.replace('"input_size": 64', '"input_size": 128'), "do not agree"),
        ("other", card, "holds no spcnet model card; not a file of spcnet export"),
    ):
        model.metadata_props[0].key, model.metadata_props[0].value = key, value
        path.write_bytes(model.SerializeToString())
        with pytest.raises(UserError, match=told):
            PoseEstimator(str(path), device=device)


def test_openvino_runs_files_in_bfloat16_where_that_is_faster(onnx_models: OnnxModels) -> None:
    pytest.importorskip("openvino")
    for form in (onnx_models.keypoints, onnx_models.heatmaps):
        plain = PoseEstimator(str(form), device="openvino")
        chosen = PoseEstimator(str(form), device="openvino", precision="auto")
        if has_bfloat16(torch.device("cpu")):
            half = PoseEstimator(str(form), device="openvino", precision="bf16")
            assert half.describe().endswith("by OpenVINO (float32) in bf16")
            assert half.backend.precision == "bf16"
            expected, found = (one.predict(IMAGE, BOXES) for one in (plain, half))
            apart = [
                np.linalg.norm(pose.keypoints - other.keypoints, axis=1)
                for pose, other in zip(expected, found, strict=True)
            ]
            assert 0 < np.median(apart) < 2
            assert "figures' keypoints move by up to" in chosen.describe()
        else:
            with pytest.raises(UserError, match="does not multiply bfloat16"):
                PoseEstimator(str(form), device="openvino", precision="bf16")
            assert "in fp32, as bf16 is no faster here" in chosen.describe()
        assert chosen.backend.precision in ("fp32", "bf16")


def test_several_threads_may_share_a_file(onnx_models: OnnxModels, device: str) -> None:
    estimator = PoseEstimator(str(onnx_models.keypoints), device=device)
    images = [render_figure(n).image for n in range(4)] * 4
    expected = [estimator.predict(image, BOXES)[0].keypoints for image in images]
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda image: estimator.predict(image, BOXES)[0].keypoints, images)
        for keypoints, others in zip(found, expected, strict=True):
            assert keypoints == pytest.approx(others, abs=1e-3)


def test_openvino_that_is_not_there_or_of_no_use_is_told(
    onnx_models: OnnxModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        UserError, match=r"'openvino' does not run .*; choose torch .*the \.onnx that"
    ):
        PoseEstimator(str(onnx_models.checkpoint), device="openvino")
    with pytest.raises(UserError, match=r"precision 'int8'.*`spcnet export --int8`"):
        PoseEstimator(str(onnx_models.keypoints), device="openvino", precision="int8")
    with pytest.raises(UserError, match=r"'torch' does not run .*; choose onnxruntime or openvino"):
        PoseEstimator(str(onnx_models.keypoints), runtime="torch")
    with pytest.raises(UserError, match=r"device 'cuda': an \.onnx file runs on the cpu"):
        PoseEstimator(str(onnx_models.keypoints), runtime="openvino", device="cuda")
    with pytest.raises(UserError, match=r"runtime must be one of auto, torch, .*'tensorrt'"):
        PoseEstimator("default", runtime="tensorrt")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=r"needs openvino: pip install 'spcnet\[openvino\]'"):
        PoseEstimator(str(onnx_models.keypoints), runtime="openvino")


def test_another_runtime_is_a_module_and_a_line_in_the_table(
    onnx_models: OnnxModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Halves(OnnxRuntime):
        """A runtime whose every output is a half."""

        def run(self, names: list[str], crops: np.ndarray) -> list[np.ndarray]:
            return [np.full_like(found, 0.5) for found in super().run(names, crops)]

    monkeypatch.setitem(sys.modules, "halves", SimpleNamespace(open_file=Halves))  # type: ignore[arg-type]
    monkeypatch.setitem(contract.RUNTIMES[".onnx"], "halves", "halves")
    for form in (onnx_models.keypoints, onnx_models.heatmaps):
        estimator = PoseEstimator(str(form), runtime="halves")  # type: ignore[arg-type]
        (pose,) = estimator.predict(IMAGE, BOXES[:1])
        assert pose.scores == pytest.approx(np.full(14, pose.scores[0]))
    with pytest.raises(UserError, match=r"'halves' does not run .*; choose torch "):
        PoseEstimator(str(onnx_models.checkpoint), runtime="halves")  # type: ignore[arg-type]


def test_onnxruntime_that_is_not_there_is_told(
    onnx_models: OnnxModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs onnxruntime: pip install 'spcnet\[onnx\]'"):
        PoseEstimator(str(onnx_models.keypoints))


def test_onnxruntime_takes_as_many_threads_as_torch(onnx_models: OnnxModels) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            options = open_session(onnx_models.keypoints).get_session_options()
            assert options.intra_op_num_threads == threads
    finally:
        torch.set_num_threads(before)
