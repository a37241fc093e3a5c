"""What users hand over, broken in every way: a strategy for each kind of file, and who reads it.

Each kind is made of small valid files, written here. Trees (JSON, YAML, arrays by name) have values
replaced, removed and doubled; of other files bytes are.
"""

import copy
import io
import itertools
import json
import math
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

DEEP = "a value nested beyond any parser's depth"
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(
        [0, -1, 10**30, 1e308, math.nan, math.inf, "", "\0", "\ud800", "a" * 5000, DEEP, [], {},
         [None], [1, 2], [[[]]], {"a": 1}, "../../x", "left_knee"]
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """Files of one ending, and what reads one; anything but a value or a `UserError` is wrong."""

    suffix: str
    contents: st.SearchStrategy[bytes]
    read: Callable[[Path], object]


@st.composite
def bytes_like(draw: st.DrawFn, files: Sequence[bytes]) -> bytes:
    """A file of which some bytes are changed, gone, doubled or new, anywhere in it."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    data = bytearray(draw(st.sampled_from(files)))
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(data) + 1), chance.choice([1, 1, 2, 4, 16, 200])
        how = chance.choice(["change", "change", "extreme", "extreme", "remove", "double", "cut"])
        if how == "change":
            data[at : at + length] = chance.randbytes(length)
        elif how == "extreme":
            data[at : at + length] = chance.choice([b"\0", b"\xff", b"\x7f"]) * length
        elif how == "remove":
            del data[at : at + length]
        elif how == "double":
            data[at:at] = data[at : at + length]
        elif chance.random() < 0.3:
            del data[max(at, 16) :]
    return bytes(data)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every holder of values, and the key of each."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(items):
        yield tree, key
        if isinstance(value, dict | list):
            yield from itertools.islice(_places(value), 60)


@st.composite
def trees_like(draw: st.DrawFn, tree: Any) -> Any:
    """A tree of which some values are others, gone, doubled or in another's place."""
    top = [copy.deepcopy(tree)]
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(list(_places(top))))
        how = draw(st.sampled_from(["odd", "odd", "odd", "remove", "double", "swap"]))
        if how == "odd":
            holder[key] = copy.deepcopy(draw(ODD))
        elif how == "remove" and holder is not top:
            del holder[key]
        elif how == "double" and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif how == "swap":
            other, place = draw(st.sampled_from(list(_places(top))))
            holder[key] = copy.deepcopy(other[place])
    return top[0]


def as_json(tree: Any) -> bytes:
    text = json.dumps(tree).replace(json.dumps(DEEP), "[" * 3000 + "]" * 3000)
    return text.encode()


def as_yaml(tree: Any) -> bytes:
    import yaml

    text = yaml.safe_dump(tree).replace(DEEP, "[" * 2000 + "]" * 2000)
    return text.encode(errors="surrogatepass")


# Pictures and videos.


@cache
def pictures() -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    rgb, exif = Image.fromarray(noise), Image.Exif()
    exif[274], exif[282], exif[305] = 6, 72.0, "a camera"
    grey = Image.fromarray(noise[..., 0].astype(np.uint16) * 200)
    files = []
    for image, form, how in (
        (rgb, "JPEG", {"exif": exif}),
        (rgb, "JPEG", {"progressive": True, "subsampling": 2}),
        (rgb, "PNG", {"exif": exif}),
        (rgb.convert("P"), "PNG", {"transparency": 3}),
        (grey, "PNG", {}),
        (rgb, "WEBP", {"exif": exif}),
        (rgb.convert("RGBA"), "WEBP", {"lossless": True}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}),
        (grey, "TIFF", {}),
        (rgb.convert("P"), "GIF", {"save_all": True, "append_images": [rgb.convert("P")]}),
        (rgb, "BMP", {}),
        (rgb, "PPM", {}),
        (rgb, "TGA", {}),
        (rgb, "ICO", {}),
        (rgb, "JPEG2000", {}),
    ):
        file = io.BytesIO()
        image.save(file, form, **how)
        files.append(file.getvalue())
    return files


def read_picture(path: Path) -> object:
    from spcnet.media.images import read_image, read_reduced, read_shape

    read_shape(path)
    read_reduced(path, lambda shape: 4)
    return read_image(path).shape


@cache
def videos() -> list[bytes]:
    from fractions import Fraction

    from spcnet.media.video_files import VideoWriter

    noise = np.random.default_rng(0).integers(0, 255, (3, 32, 48, 3), np.uint8)
    files = []
    for suffix in (".mp4", ".mkv", ".webm"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"v{suffix}"
            with VideoWriter(path, suffix, (32, 48), time_base=Fraction(1, 90_000)) as writer:
                for n, picture in enumerate(noise):
                    writer.write(picture, n / 30)
            files.append(path.read_bytes())
    return files


def read_video(path: Path) -> object:
    from spcnet.media.video_files import VideoReader

    with VideoReader(path) as video:
        return sum(1 for _ in itertools.islice(video.frames(lambda packet: None), 50))


# Models.


@cache
def model() -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors and the card of a tiny network."""
    import torch

    from spcnet.calibration import Calibration
    from spcnet.checkpoints import ModelCard
    from spcnet.codec import Codec
    from spcnet.models.registry import create_model
    from spcnet.skeletons import LSP14

    torch.manual_seed(0)
    arguments = {"stacks": 1, "channels": 4, "depth": 1}
    card = ModelCard(
        variant="spcnet_s1_w64",
        arguments=arguments,
        skeleton=LSP14,
        codec=Codec(
            input_size=32,
            heatmap="softmax",
            sigma=1.0,
            calibration=Calibration((0.1, 0.9), (0.2, 0.8)),
        ),
    )
    network = create_model("spcnet_s1_w64", num_joints=14, **arguments)
    tensors = {name: t for name, t in network.state_dict().items() if t.ndim}
    return tensors, json.loads(card.to_json())


def as_model(card: bytes) -> bytes:
    from safetensors.torch import save

    return save(model()[0], {"spcnet": card.decode()})


def read_model(path: Path) -> object:
    """Load it, and if that can be done predict."""
    from spcnet.inference.estimator import PoseEstimator

    estimator = PoseEstimator(str(path), device="cpu")
    return estimator.predict(np.zeros((40, 30, 3), np.uint8), [[0, 0, 30, 40]])


# Recipes, boxes, labels and predictions.

RECIPE = {
    "name": "x",
    "seed": 0,
    "model": {"variant": "spcnet_s1_w64", "arguments": {"channels": 16}, "input_size": 64},
    "data": {"dataset": "synthetic", "train": "1-12", "more": [{"dataset": "synthetic"}]},
    "augmentation": {"rotation": 30, "scale": 0.25},
    "loss": {"kind": "softmax", "sigma": 1.0},
    "optimizer": {"name": "adamw", "lr": 1e-3, "milestones": [3, 6]},
    "training": {"epochs": 2, "batch_size": 3, "ema": 0.9},
}
BOXES = [{"file_name": "a.jpg", "bbox": [0, 0, 9, 9], "score": 0.5}]
COCO_BOXES = {
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}],
}


@cache
def coco() -> dict[str, Any]:
    from spcnet.skeletons import LSP14

    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "iscrowd": 0}
    person |= {"keypoints": [5, 6, 2] * 14, "num_keypoints": 14, "area": 9.5, "score": 0.5}
    images = [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 64}]
    categories = [LSP14.to_coco_category()]
    return {"images": images, "annotations": [person, person | {"id": 2}], "categories": categories}


def read_recipe(path: Path) -> object:
    from spcnet.training.recipe import load_recipe

    return load_recipe(path)


def read_box_file(path: Path) -> object:
    from spcnet.inference.box_files import read_boxes

    return read_boxes(path).of("photos/a.jpg")


def read_label_file(path: Path) -> object:
    from spcnet.data.datasets import read_labels

    return len(read_labels(path))


def read_prediction_file(path: Path) -> object:
    from spcnet.evaluation.predictions import read_predictions

    return read_predictions(path, persons=3, joints=(14,))


def points() -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 60, (3, 14, 2))


def arrays() -> dict[str, Any]:
    from spcnet.skeletons import LSP14

    names = {"joints": np.array(LSP14.joints), "images": np.array(["a.jpg"] * 3)}
    return {"preds": points(), "scores": np.ones((3, 14)), "index_base": np.array(0), **names}


ARRAYS = st.one_of(
    st.just(np.zeros((0, 14, 2))), st.just(np.array(np.nan)), st.just(np.array("text")),
    st.just(np.full((3, 14, 2), np.inf)), st.just(np.zeros((2, 14, 3), np.uint8)),
    st.just(np.array([10**30], object)), st.just(np.zeros((3, 14, 2), complex)),
)  # fmt: skip


@st.composite
def array_files(draw: st.DrawFn, write: Callable[[io.BytesIO, dict[str, Any]], object]) -> bytes:
    """Arrays by name, of which one is another or gone, and some bytes are others."""
    content = arrays()
    name = draw(st.sampled_from(sorted(content)))
    if draw(st.booleans()):
        content[name] = draw(ARRAYS)
    else:
        del content[name]
    file = io.BytesIO()
    try:
        write(file, content)
    except Exception:  # there are arrays that a format cannot hold
        write(file := io.BytesIO(), arrays())
    data = file.getvalue()
    return draw(st.one_of(st.just(data), bytes_like([data])))


def write_h5(file: io.BytesIO, content: dict[str, Any]) -> None:
    import h5py

    with h5py.File(file, "w") as target:
        for name, of in content.items():
            target[name] = np.char.encode(of, "utf-8") if of.dtype.kind == "U" else of


def write_mat(file: io.BytesIO, content: dict[str, Any]) -> None:
    import scipy.io

    scipy.io.savemat(file, content)


def write_npz(file: io.BytesIO, content: dict[str, Any]) -> None:
    np.savez(file, **content)


def lsp_mat() -> bytes:
    file = io.BytesIO()
    write_mat(file, {"joints": np.concatenate([points(), np.ones((3, 14, 1))], axis=2).T})
    return file.getvalue()


def json_like(tree: Any) -> st.SearchStrategy[bytes]:
    mutated = trees_like(tree).map(as_json)
    return st.one_of(mutated, mutated, bytes_like([as_json(tree)]))


def results() -> list[dict[str, Any]]:
    from result_documents import old_answer, old_coco, old_frames, video_document

    return [video_document(), old_frames(), old_answer(), old_coco()]


def read_results(path: Path) -> object:
    """What is read can be written, and be read again."""
    from spcnet.inference.result_files import as_result, read_result

    document = read_result(path)
    return as_result(path, json.loads(json.dumps(document, allow_nan=False)))


def kinds() -> dict[str, Kind]:
    """Every kind, by its name."""
    card = json_like(model()[1])
    recipe = trees_like(RECIPE).map(as_yaml)
    whole = as_model(as_json(model()[1]))
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])

    def headed(tree: Any) -> bytes:
        text = as_json(tree)
        return len(text).to_bytes(8, "little") + text + whole[8 + length :]

    return {
        "pictures": Kind(".jpg", bytes_like(pictures()), read_picture),
        "videos": Kind(".mp4", bytes_like(videos()), read_video),
        "cards": Kind(
            ".safetensors",
            card.filter(_is_text).map(as_model),
            read_model,
        ),
        "safetensors": Kind(
            ".safetensors",
            st.one_of(bytes_like([whole]), trees_like(header).map(headed)),
            read_model,
        ),
        "recipes": Kind(".yaml", st.one_of(recipe, bytes_like([as_yaml(RECIPE)])), read_recipe),
        "boxes": Kind(".json", st.one_of(json_like(BOXES), json_like(COCO_BOXES)), read_box_file),
        "labels": Kind(".json", json_like(coco()), read_label_file),
        "mat-labels": Kind(".mat", bytes_like([lsp_mat()]), read_label_file),
        "h5-labels": Kind(".h5", array_files(write_h5), read_label_file),
        "predictions": Kind(".json", json_like(coco()), read_prediction_file),
        "results": Kind(".json", st.one_of(*map(json_like, results())), read_results),
        "npz": Kind(".npz", array_files(write_npz), read_prediction_file),
        "mat": Kind(".mat", array_files(write_mat), read_prediction_file),
        "h5": Kind(".h5", array_files(write_h5), read_prediction_file),
    }


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


NAMES = (
    "pictures", "videos", "cards", "safetensors", "recipes", "boxes", "labels", "mat-labels",
    "h5-labels", "predictions", "results", "npz", "mat", "h5",
)  # fmt: skip
