from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from spcnet.data.lspet import LspExtended, parse_numbers
from spcnet.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images in the authors' layout; joint k of image n is at (10 k + n, 5 k)."""
    joints = np.zeros((14, 3, 3))
    for n in range(3):
        joints[:, 0, n] = 10 * np.arange(14) + n
        joints[:, 1, n] = 5 * np.arange(14)
    joints[:, 2, :] = 1
    joints[13, :, 1] = [-500, -500, 0]
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    (tmp_path / "images").mkdir()
    for n in (1, 2, 3):
        shade = np.full((70, 140, 3), 40 * n, np.uint8)
        Image.fromarray(shade).save(tmp_path / "images" / f"im{n:05d}.jpg")
    return tmp_path


def test_coordinates_are_used_as_they_stand(folder: Path) -> None:
    dataset = LspExtended(folder, "all")
    assert len(dataset) == 3
    person = dataset.annotations[2]
    assert person.points[4].tolist() == [42, 20]
    assert person.box.tolist() == [2, 0, 132, 65]
    assert person.annotated.all()


def test_an_unlabelled_joint_is_missing_and_leaves_the_box_alone(folder: Path) -> None:
    person = LspExtended(folder, "2").annotations[0]
    assert person.states.tolist() == [2] * 13 + [0]
    assert person.box.tolist() == [1, 0, 121, 60]


def test_samples_pair_each_picture_with_its_person(folder: Path) -> None:
    shades = [
        (int(image.mean()), person.points[0, 0])
        for image, person in LspExtended(folder, "1,3").samples()
    ]
    assert shades == [(40, 0.0), (120, 2.0)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1-3", [1, 2, 3]), ("5", [5]), ("2-3, 1 ,3", [1, 2, 3])],
)
def test_ranges_of_numbers(text: str, expected: list[int]) -> None:
    assert parse_numbers(text, 5) == expected


@pytest.mark.parametrize("text", ["0-3", "4-6", "3-1", "one", "", "1-2-3", "train"])
def test_wrong_ranges_are_named(text: str) -> None:
    with pytest.raises(UserError, match=repr(text)):
        parse_numbers(text, 5, named=("all",))


def test_a_wrong_folder_says_what_was_expected(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"joints\.mat"):
        LspExtended(tmp_path / "nowhere", "all")
    with pytest.raises(UserError, match="'val'"):
        LspExtended(folder, "val")
    (folder / "joints.mat").write_bytes(b"half a download")
    with pytest.raises(UserError, match=r"not the joints\.mat"):
        LspExtended(folder, "all")


def test_lsps_own_file_is_told_apart(folder: Path) -> None:
    scipy.io.savemat(folder / "joints.mat", {"joints": np.zeros((3, 14, 2000))})
    with pytest.raises(UserError, match="LSP's own"):
        LspExtended(folder, "all")


def test_the_real_release_has_its_splits(shared_data: Path) -> None:
    root = shared_data / "lspet"
    train, val = LspExtended(root, "train"), LspExtended(root, "val")
    assert (len(train), len(val)) == (8060, 800)
    assert not set(train.numbers) & set(val.numbers)
    assert val.numbers == list(range(8061, 8861))
    image, person = next(iter(LspExtended(root, "8100").samples()))
    assert image.shape == (443, 295, 3)
    height, width = image.shape[:2]
    inside = (person.points >= 0).all(axis=1) & (person.points < [width, height]).all(axis=1)
    assert inside[person.annotated].mean() > 0.9


def test_the_bundled_recipe_never_sees_validation_images(shared_data: Path) -> None:
    from conftest import RECIPES

    from spcnet.training.recipe import load_recipe

    val = set(LspExtended(shared_data / "lspet", "val").numbers)
    for path in RECIPES.glob("lspet*.yaml"):
        data = load_recipe(path).data
        for split in filter(None, (data.train, data.holdout)):
            assert not val & set(LspExtended(shared_data / "lspet", split).numbers), path.name
