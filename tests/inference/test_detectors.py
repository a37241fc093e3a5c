import sys
from pathlib import Path

import numpy as np
import pytest

from spcnet.errors import UserError
from spcnet.inference.box_files import read_boxes
from spcnet.inference.detectors import OnnxDetector, letterbox, nms
from spcnet.runtime.onnxruntime import open_session

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from onnx_detectors import bright_detector, constant_detector, red_detector

CELLS = 84  # of a 64 x 64 input: 8 x 8, 4 x 4 and 2 x 2
GREY = np.full((64, 64, 3), 128, np.uint8)


def test_of_boxes_that_overlap_the_surest_stays() -> None:
    boxes = np.array(
        [[5, 0, 15, 10], [0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40]], dtype=float
    )
    scores = np.array([0.7, 0.9, 0.8, 0.1])
    # With the second box the third shares 90 of 110, the first 50 of 150.
    assert nms(boxes, scores, overlap=0.65).tolist() == [1, 0, 3]
    assert nms(boxes, scores, overlap=0.82).tolist() == [1, 2, 0, 3]
    assert nms(boxes, scores, overlap=0.3).tolist() == [1, 3]
    assert nms(boxes[[1, 1]], np.array([0.5, 0.5])).tolist() == [0]
    assert nms(np.empty((0, 4)), np.empty(0)).shape == (0,)


def test_a_picture_is_fitted_at_the_top_left() -> None:
    picture = np.full((20, 40, 3), 7, np.uint8)
    canvas, scale = letterbox(picture, (64, 64))
    assert scale == 1.6
    assert (canvas[:32] == 7).all() and (canvas[32:] == 114).all()
    thin, _ = letterbox(np.zeros((1, 900, 3), np.uint8), (64, 64))
    assert (thin[0] == 0).all() and (thin[1:] == 114).all()


@pytest.mark.parametrize("shape", [(64, 64), (300, 200), (90, 500), (30, 20)], ids=str)
def test_a_bright_rectangle_is_found_where_it_is(shape: tuple[int, int], tmp_path: Path) -> None:
    height, width = shape
    picture = np.full((height, width, 3), 40, np.uint8)
    x0, y0, x1, y1 = width // 4, height // 4, width // 2, 3 * height // 4
    picture[y0:y1, x0:x1] = 250
    boxes, scores = OnnxDetector(bright_detector(tmp_path / "d.onnx")).detect(picture)
    # A box goes from edge to edge; a pixel's edges lie half a pixel from its middle.
    cell = max(1, max(shape) / 64)
    assert boxes == pytest.approx(np.array([[x0, y0, x1, y1]]) - 0.5, abs=1.1 * cell)
    assert scores.tolist() == [1]
    nobody, none = OnnxDetector(tmp_path / "d.onnx").detect(np.zeros_like(picture))
    assert nobody.shape == (0, 4) and none.shape == (0,)


def test_a_model_of_any_size_is_given_the_usual_one(tmp_path: Path) -> None:
    detector = OnnxDetector(bright_detector(tmp_path / "d.onnx", size=("h", "w")))
    assert detector.describe() == "d.onnx (boxes, 640 x 640 px)"


def yolov8_output(columns: int = 20) -> np.ndarray:
    """Two persons, one of them twice, one thing, and many of nothing: (1, 4 + 3, columns)."""
    output = np.zeros((1, 7, columns))
    output[0, :4] = np.array([5, 5, 2, 2])[:, None]
    output[0, :, 0] = [20, 30, 10, 40, 0.8, 0, 0]
    output[0, :, 1] = [21, 30, 10, 40, 0.9, 0, 0]
    output[0, :, 2] = [50, 30, 10, 40, 0.31, 0.1, 0]
    output[0, :, 3] = [50, 30, 10, 40, 0.29, 0.1, 0]
    output[0, :, 4] = [40, 10, 10, 10, 0.05, 0.9, 0]
    return output


FOUND = np.array([[16, 10, 26, 50], [45, 10, 55, 50]]) - 0.5


def test_yolov8_and_its_successors(tmp_path: Path) -> None:
    path = constant_detector(tmp_path / "d.onnx", yolov8_output())
    boxes, scores = OnnxDetector(path).detect(GREY)
    assert boxes == pytest.approx(FOUND)
    assert scores == pytest.approx([0.9, 0.31])
    assert OnnxDetector(path, threshold=0.5).detect(GREY)[0] == pytest.approx(FOUND[:1])
    assert len(OnnxDetector(path, overlap=0.99).detect(GREY)[0]) == 3


def test_boxes_end_at_the_picture_s_edges_and_are_scaled_back(tmp_path: Path) -> None:
    output = np.zeros((1, 5, 9))
    output[0, :, 0] = [0, 16, 40, 100, 0.9]
    output[0, :, 1] = [32, 60, 10, 5, 0.8]  # in the grey below a flat picture
    path = constant_detector(tmp_path / "d.onnx", output)
    boxes, _ = OnnxDetector(path).detect(np.zeros((64, 128, 3), np.uint8))
    assert boxes.tolist() == [[-0.5, -0.5, 39.5, 63.5]]


def yolox_outputs() -> tuple[np.ndarray, np.ndarray]:
    """The same three boxes decoded, and as offsets from their cells: (1, 84, 7) each."""
    decoded, raw = np.zeros((2, 1, CELLS, 7))
    n = 0
    for stride in (8, 16, 32):
        for y in range(64 // stride):
            for x in range(64 // stride):
                decoded[0, n, :4] = [(x + 0.3) * stride, (y + 0.6) * stride, stride, stride]
                raw[0, n, :4] = [0.3, 0.6, 0, 0]
                n += 1
    # Cell (2, 3) of the finest grid, and (1, 0) of the coarsest, number 82 - 1.
    for n, x, y, stride, box, scores in (
        (26, 2, 3, 8, [21, 30, 10, 40], [0.9, 1.0, 0]),
        (81, 1, 0, 32, [50, 30, 10, 40], [0.5, 0.62, 0]),
        (40, 0, 5, 8, [4, 44, 8, 8], [1, 0, 1]),
    ):
        decoded[0, n] = [*box, *scores]
        raw[0, n] = [box[0] / stride - x, box[1] / stride - y, *np.log(np.array(box[2:]) / stride),
                     *scores]  # fmt: skip
    return decoded, raw


@pytest.mark.parametrize("form", ["decoded", "raw"])
def test_yolox_with_its_grid_and_without(form: str, tmp_path: Path) -> None:
    output = dict(zip(("decoded", "raw"), yolox_outputs(), strict=True))[form]
    detector = OnnxDetector(constant_detector(tmp_path / "d.onnx", output))
    assert detector.form == "yolox"
    boxes, scores = detector.detect(GREY)
    assert boxes == pytest.approx(FOUND, abs=1e-4)
    assert scores == pytest.approx([0.9, 0.31])


def test_a_model_that_suppresses_doubles_itself(tmp_path: Path) -> None:
    output = np.zeros((1, 300, 6))
    output[0, :3] = [[16, 10, 26, 50, 0.9, 0], [0, 0, 9, 9, 0.8, 16], [45, 10, 55, 50, 0.31, 0]]
    detector = OnnxDetector(constant_detector(tmp_path / "d.onnx", output))
    assert detector.form == "boxes"
    assert detector.detect(GREY)[0] == pytest.approx(FOUND)


@pytest.mark.parametrize(
    ("shape", "kind", "form"),
    [
        ((1, 9, 8400), "auto", "yolov8"),
        ((1, 5, 84), "auto", "yolov8"),
        ((1, 84, 85), "auto", "yolox"),
        ((1, 84, 6), "auto", "yolox"),
        ((1, 300, 6), "auto", "boxes"),
        ((1, 300, 6), "yolox", "yolox"),
        ((1, 900, 85), "yolox", "yolox"),
    ],
    ids=str,
)
def test_the_output_s_shape_tells_the_form(
    shape: tuple[int, ...], kind: str, form: str, tmp_path: Path
) -> None:
    path = constant_detector(tmp_path / "d.onnx", np.zeros(shape))
    assert OnnxDetector(path, kind=kind).form == form


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((1, 1000), "auto"), ((2, 84, 100), "auto"), ((1, 3, 100), "auto"), ((1, 9, 5), "auto"),
     ((1, 9, 8400), "yolox"), ((1, 900, 85), "auto"), ((1, 1001, 6), "auto")],
    ids=str,
)  # fmt: skip
def test_other_outputs_are_told(shape: tuple[int, ...], kind: str, tmp_path: Path) -> None:
    path = constant_detector(tmp_path / "d.onnx", np.zeros(shape))
    with pytest.raises(UserError) as told:
        OnnxDetector(path, kind=kind)
    assert " x ".join(map(str, shape)) in str(told.value)
    assert "1 x (4 + classes) x N" in str(told.value) and "1 x N x 6" in str(told.value)


@pytest.mark.parametrize("classes", [1, 80])
@pytest.mark.parametrize("kind", ["auto", "yolox"])
def test_three_boxes_a_cell_are_refused_by_name(kind: str, classes: int, tmp_path: Path) -> None:
    path = constant_detector(tmp_path / "d.onnx", np.zeros((1, 3 * CELLS, 5 + classes)))
    with pytest.raises(UserError, match=r"YOLOv5 and v7, .*take a model of YOLOv8 to v11 or YOLOX"):
        OnnxDetector(path, kind=kind)


@pytest.mark.parametrize(
    ("device", "gpu"), [("auto", True), ("cuda:0", True), ("cpu", False)], ids=str
)
def test_the_gpu_is_taken_where_the_device_allows_it(
    device: str, gpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def opened(path: Path, *, gpu: bool = False) -> object:
        asked.append(gpu)
        return open_session(path)

    monkeypatch.setattr("spcnet.inference.detectors.open_session", opened)
    OnnxDetector(bright_detector(tmp_path / "d.onnx"), device=device)
    assert asked == [gpu]


def test_the_channels_are_in_the_order_of_the_kind(tmp_path: Path) -> None:
    red, blue = GREY * 0, GREY * 0
    red[..., 0], blue[..., 2] = 255, 127
    box = [30.0, 30, 10, 10]
    # One column of yolov8's; expanded to (1, 6, 6) it has five rows before the score.
    yolox = red_detector(tmp_path / "x.onnx", rows=CELLS, first=[*box, 1.0])
    detector = OnnxDetector(yolox, overlap=1.0)
    assert detector.form == "yolox"
    assert len(detector.detect(red)[0]) == 0
    assert detector.detect(blue)[1].max() == 1  # blue comes first, and is not divided by 255
    ended = OnnxDetector(red_detector(tmp_path / "e.onnx", rows=9, first=[0, 0, 9, 9, 1.0]))
    assert ended.form == "boxes"  # its class is the mean of red: 0 is the person
    assert len(ended.detect(red)[0]) == 0 and len(ended.detect(blue)[0]) == 1


def test_files_that_are_no_detectors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        OnnxDetector(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(UserError, match="not an ONNX model"):
        OnnxDetector(tmp_path / "text.onnx")
    grey = constant_detector(tmp_path / "grey.onnx", np.zeros((1, 5, 9)), channels=1)
    with pytest.raises(UserError, match=r"float 1 x 3 x H x W, got images 1 x 1 x 64 x 64"):
        OnnxDetector(grey)
    path = constant_detector(tmp_path / "d.onnx", np.zeros((1, 5, 9)), names="{0: 'car'}")
    with pytest.raises(UserError, match="class 0 is the person, this model's is 'car'"):
        OnnxDetector(path)
    path = constant_detector(tmp_path / "d.onnx", np.zeros((1, 5, 9)), names="{0: 'person'}")
    OnnxDetector(path)
    with pytest.raises(UserError, match="one of auto, yolov8, yolox, got 'ssd'"):
        OnnxDetector(path, kind="ssd")
    with pytest.raises(UserError, match=r"lie in 0\.\.1, got 30"):
        OnnxDetector(path, threshold=30)


def test_without_onnxruntime_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs onnxruntime: pip install 'spcnet\[onnx\]'"):
        OnnxDetector(tmp_path / "d.onnx")


def test_box_files_by_score_category_and_folder(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(
        '{"images": [{"id": 1, "file_name": "a/1.jpg"}, {"id": 2, "file_name": "b/1.jpg"}], '
        '"categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}], "annotations": ['
        '{"image_id": 1, "bbox": [0, 0, 5, 5], "category_id": 1, "score": 0.9}, '
        '{"image_id": 1, "bbox": [1, 0, 5, 5], "category_id": 1, "score": 0.2}, '
        '{"image_id": 1, "bbox": [2, 0, 5, 5], "category_id": 18, "score": 0.9}, '
        '{"image_id": 2, "bbox": [3, 0, 5, 5], "category_id": 1}]}'
    )
    found = read_boxes(path, threshold=0.5)
    assert found.of("photos/a/1.jpg") == [[0, 0, 5, 5]]
    assert found.of("photos/b/1.jpg") == [[3, 0, 8, 5]]
    assert len(read_boxes(path).of("a/1.jpg")) == 2
    with pytest.raises(UserError, match="no boxes for this picture"):
        found.of("photos/c/1.jpg")  # those of a namesake in another folder are not its own
    path.write_text('[{"image_id": 7, "bbox": [0, 0, 5, 5]}, {"file_name": "x/y.jpg", '
                    '"bbox": [0, 0, 5, 5]}]')  # fmt: skip
    assert read_boxes(path).of("photos/000007.jpg") == [[0, 0, 5, 5]]
    assert read_boxes(path).of("y.jpg") == [[0, 0, 5, 5]]
    path.write_text('[{"file": "y.jpg", "bbox": [0, 0, 5, 5]}]')
    with pytest.raises(UserError, match=r"a list of \{file_name, bbox\}"):
        read_boxes(path)


def test_boxes_are_not_those_of_a_namesake(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text('[{"file_name": "val/1.jpg", "bbox": [0, 0, 5, 5]}]')
    found = read_boxes(path)
    for picture in ("val/1.jpg", "data/val/1.jpg", "/data/val/1.jpg", "../val/1.jpg", "1.jpg"):
        assert found.of(picture) == [[0, 0, 5, 5]], picture
    with pytest.raises(UserError, match=r"no boxes for this picture, but for val/1\.jpg"):
        found.of("data/train/1.jpg")
    path.write_text('[{"file_name": "../val/1.jpg", "bbox": [0, 0, 5, 5]}, '
                    '{"file_name": "train/1.jpg", "bbox": [1, 0, 5, 5]}]')  # fmt: skip
    found = read_boxes(path)
    assert found.of("/data/val/1.jpg") == [[0, 0, 5, 5]]
    assert found.of("/data/train/1.jpg") == [[1, 0, 6, 5]]
    with pytest.raises(UserError, match=r"for \.\./val/1\.jpg and train/1\.jpg; name the picture"):
        found.of("1.jpg")
