from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from spcnet.data.datasets import open_pictures
from spcnet.data.leeds import parse_numbers
from spcnet.errors import UserError


def write_pictures(folder: Path, digits: int) -> None:
    (folder / "images").mkdir()
    for n in (1, 2, 3):
        shade = np.full((70, 140, 3), 40 * n, np.uint8)
        Image.fromarray(shade).save(folder / "images" / f"im{n:0{digits}d}.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of the extension in its layout; joint k of image n is at (10 k + n, 5 k)."""
    joints = np.zeros((14, 3, 3))
    for n in range(3):
        joints[:, 0, n] = 10 * np.arange(14) + n
        joints[:, 1, n] = 5 * np.arange(14)
    joints[:, 2, :] = 1
    joints[13, :, 1] = [-500, -500, 0]
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    write_pictures(tmp_path, digits=5)
    return tmp_path


@pytest.fixture
def lsp_folder(folder: Path) -> Path:
    """The same people as LSP keeps them: other axes, and the flag says that a joint is hidden."""
    joints = scipy.io.loadmat(folder / "joints.mat")["joints"].transpose(1, 0, 2)
    joints[2] = 0
    joints[2, 4, 2] = 1
    root = folder / "lsp"
    root.mkdir()
    scipy.io.savemat(root / "joints.mat", {"joints": joints})
    write_pictures(root, digits=4)
    return root


def test_coordinates_are_used_as_they_stand(folder: Path) -> None:
    dataset = open_pictures("lspet", folder, "all")
    assert len(dataset) == 3
    person = dataset.annotations[2]
    assert person.points[4].tolist() == [42, 20]
    assert person.box.tolist() == [2, 0, 132, 65]
    assert person.annotated.all()
    assert person.number == 3
    # MATLAB's count from 1, so that predictions that count so too meet them unmoved.
    assert dataset.counts_from == 1


def test_an_unlabelled_joint_is_missing_and_leaves_the_box_alone(folder: Path) -> None:
    person = open_pictures("lspet", folder, "2").annotations[0]
    assert person.states.tolist() == [2] * 13 + [0]
    assert person.box.tolist() == [1, 0, 121, 60]


def test_lsps_flag_says_occluded(lsp_folder: Path) -> None:
    dataset = open_pictures("lsp", lsp_folder, "all")
    person = dataset.annotations[2]
    assert person.points[4].tolist() == [42, 20]
    assert person.states.tolist() == [2] * 4 + [1] + [2] * 9
    assert person.annotated.all()
    assert (dataset.name, person.image) == ("lsp", "im0003.jpg")


def test_a_person_without_any_label_is_left_out(folder: Path) -> None:
    joints = scipy.io.loadmat(folder / "joints.mat")["joints"]
    joints[:, 2, 0] = 0
    scipy.io.savemat(folder / "joints.mat", {"joints": joints})
    assert [person.number for person in open_pictures("lspet", folder, "all").annotations] == [2, 3]


def test_samples_pair_each_picture_with_its_person(folder: Path) -> None:
    dataset = open_pictures("lspet", folder, "1,3")
    shades = [(int(image.mean()), person.points[0, 0]) for image, person in dataset.samples()]
    assert shades == [(40, 0.0), (120, 2.0)]
    assert dataset.annotations[1].image == "im00003.jpg"
    assert dataset.picture(dataset.annotations[1]) == folder / "images" / "im00003.jpg"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1-3", [1, 2, 3]), ("5", [5]), ("2-3, 1 ,3", [1, 2, 3])],
)
def test_ranges_of_numbers(text: str, expected: list[int]) -> None:
    assert parse_numbers(text, 5) == expected


@pytest.mark.parametrize(
    "text", ["0-3", "4-6", "3-1", "one", "", "1-2-3", "train", "2-", "-2", "1,", "1,000"]
)
def test_wrong_ranges_are_named(text: str) -> None:
    with pytest.raises(UserError, match=repr(text)):
        parse_numbers(text, 5, named=("all",))


def test_a_wrong_folder_says_what_was_expected(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"joints\.mat"):
        open_pictures("lspet", tmp_path / "nowhere", "all")
    with pytest.raises(UserError, match=r"needs joints\.mat.*holds im00001\.jpg"):
        open_pictures("lspet", folder / "images", "all")
    with pytest.raises(UserError, match="'val'"):
        open_pictures("lspet", folder, "val")
    (folder / "joints.mat").write_bytes(b"half a download")
    with pytest.raises(UserError, match=r"not the joints\.mat"):
        open_pictures("lspet", folder, "all")


@pytest.mark.parametrize("named", ["my.json", "."])
def test_own_data_is_known_for_what_it_is(tmp_path: Path, named: str) -> None:
    (tmp_path / "my.json").write_text("{}")
    with pytest.raises(UserError, match=r"; own data in COCO's format is --dataset coco"):
        open_pictures("lspet", tmp_path / named, "val")


def test_pictures_are_missed_before_they_are_read(lsp_folder: Path) -> None:
    (lsp_folder / "images").rename(lsp_folder / "pictures")
    with pytest.raises(UserError, match=r"no images/ here.*pictures/"):
        open_pictures("lsp", lsp_folder, "all")


def test_the_two_files_are_told_apart(folder: Path, lsp_folder: Path) -> None:
    with pytest.raises(UserError, match="LSP's own"):
        open_pictures("lspet", lsp_folder, "all")
    with pytest.raises(UserError, match="LSP extended's"):
        open_pictures("lsp", folder, "all")
    scipy.io.savemat(folder / "joints.mat", {"points": np.zeros(3)})
    with pytest.raises(UserError, match="it holds points, wanted joints"):
        open_pictures("lspet", folder, "all")


def test_the_real_release_has_its_splits(shared_data: Path) -> None:
    root = shared_data / "lspet"
    train, val = open_pictures("lspet", root, "train"), open_pictures("lspet", root, "val")
    assert (len(train), len(val)) == (8060, 800)
    assert [person.number for person in train.annotations] == list(range(1, 8061))
    assert [person.number for person in val.annotations] == list(range(8061, 8861))
    image, person = next(iter(open_pictures("lspet", root, "8100").samples()))
    assert image.shape == (443, 295, 3)
    height, width = image.shape[:2]
    inside = (person.points >= 0).all(axis=1) & (person.points < [width, height]).all(axis=1)
    assert inside[person.annotated].mean() > 0.9


def test_the_real_lsp_has_its_splits(shared_data: Path) -> None:
    train, test = (open_pictures("lsp", shared_data / "lsp", split) for split in ("train", "test"))
    assert [person.number for person in train.annotations] == list(range(1, 1001))
    assert [person.number for person in test.annotations] == list(range(1001, 2001))
    assert all(person.annotated.all() for person in test.annotations)
    joints = scipy.io.loadmat(shared_data / "lsp" / "joints.mat")["joints"]
    assert test.annotations[0].points[12].tolist() == joints[:2, 12, 1000].tolist()
    hidden = np.array([person.states == 1 for person in test.annotations])
    assert np.array_equal(hidden, joints[2, :, 1000:].T == 1)


def test_the_bundled_recipes_never_see_validation_images(shared_data: Path) -> None:
    from conftest import RECIPES

    from spcnet.training.recipe import load_recipe

    root = shared_data / "lspet"
    val = {person.image for person in open_pictures("lspet", root, "val").annotations}
    for path in RECIPES.glob("lspet*.yaml"):
        data = load_recipe(path).data
        for split in filter(None, (data.train, data.holdout)):
            seen = {person.image for person in open_pictures("lspet", root, split).annotations}
            assert not val & seen, path.name
