from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from spcnet.errors import UserError
from spcnet.geometry import apply_affine
from spcnet.media.formats import TooManyPixels
from spcnet.media.images import (
    GreyRange,
    NotAPicture,
    count_pixels,
    decode_image,
    greys_alike,
    read_image,
    read_reduced,
    rgb_from_array,
    rgb_from_pil,
)

COLOURS = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [200, 100, 50], [0, 0, 0]]],
    dtype=np.uint8,
)


def test_a_png_comes_back_as_its_own_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a picture.png"
    Image.fromarray(COLOURS).save(path)
    assert np.array_equal(read_image(path), COLOURS)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, COLOURS),
        (2, COLOURS[:, ::-1]),
        (3, COLOURS[::-1, ::-1]),
        (6, np.rot90(COLOURS, -1)),
        (8, np.rot90(COLOURS)),
    ],
)
def test_exif_orientation_is_honoured(
    tmp_path: Path, orientation: int, upright: np.ndarray
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "phone.png"
    Image.fromarray(COLOURS).save(path, exif=exif)
    assert np.array_equal(read_image(path), upright)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("spare", "factor"), [(0.2, 1), (1.9, 1), (3.9, 2), (4, 4), (99, 8)])
def test_a_jpeg_is_read_smaller_and_its_pixels_are_where_they_say(
    tmp_path: Path, orientation: int, spare: float, factor: int
) -> None:
    x, y = np.meshgrid(np.arange(203), np.arange(158))
    place = np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)  # the red of a pixel is its x
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "phone.jpg"
    stored = Image.fromarray(place)
    stored.save(path, exif=exif, quality=100, subsampling=0)
    upright = ImageOps.exif_transpose(Image.open(path))
    expected = np.asarray(upright)
    shapes = []

    def asked(shape: tuple[int, int]) -> float:
        shapes.append(shape)
        return spare

    found = read_reduced(path, asked)
    assert shapes == [found.shape] == [expected.shape[:2]]
    assert max(found.pixels.shape) == -(-203 // factor)
    pixels = np.argwhere(np.ones(found.pixels.shape[:2]))[:, ::-1]
    places = apply_affine(found.to_original, pixels)
    height, width = found.shape
    inner = ((places >= 4) & (places <= [width - 5, height - 5])).all(axis=1)
    assert inner.any()
    for (column, row), (left, top) in zip(pixels[inner], places[inner], strict=True):
        exact = cv2.getRectSubPix(expected.astype(np.float32), (1, 1), (left, top))[0, 0]
        assert found.pixels[row, column] == pytest.approx(exact, abs=2.1)


def test_other_formats_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS).save(path)
    found = read_reduced(path, lambda shape: 8)
    assert np.array_equal(found.pixels, COLOURS)
    assert (found.shape, found.to_original.tolist()) == ((2, 3), [[1, 0, 0], [0, 1, 0]])


def test_grey_palette_and_bilevel_pictures_become_rgb() -> None:
    grey = np.array([[0, 128, 255]], dtype=np.uint8)
    expected = np.repeat(grey[..., None], 3, axis=2)
    assert np.array_equal(rgb_from_pil(Image.fromarray(grey)), expected)
    palette = Image.fromarray(COLOURS).quantize(6)
    assert palette.mode == "P"
    assert np.array_equal(rgb_from_pil(palette), COLOURS)
    bilevel = Image.fromarray(grey).convert("1", dither=Image.Dither.NONE)
    assert set(np.unique(rgb_from_pil(bilevel))) == {0, 255}


def test_transparency_is_laid_on_white() -> None:
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], dtype=np.uint8)
    rgb = rgb_from_pil(Image.fromarray(rgba))
    assert rgb[0, 0].tolist() == [255, 0, 0]
    assert rgb[0, 1].tolist() == [255, 255, 255]
    assert abs(int(rgb[0, 2, 0]) - 127) <= 1
    assert np.array_equal(rgb_from_array(rgba), rgb)


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    deep = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    path = tmp_path / "scan.png"
    Image.fromarray(deep).save(path)
    assert read_image(path)[0, :, 0].tolist() == [0, 100, 255]
    assert rgb_from_array(deep)[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_fewer_bits_in_a_file_of_sixteen_are_not_black(
    tmp_path: Path, bits: int, suffix: str
) -> None:
    brightest = 2**bits - 1
    path = tmp_path / f"sensor{suffix}"
    Image.fromarray(np.array([[0, brightest // 3, brightest]], dtype=np.uint16)).save(path)
    assert read_image(path)[0, :, 1].tolist() == [0, 85, 255]


def test_frames_of_one_sequence_do_not_flicker(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for path, brightest in zip(paths, (1023, 1024, 512), strict=True):
        pixels = np.full((20, 20), 1000, dtype=np.uint16)
        pixels[-1, -1] = brightest
        Image.fromarray(pixels).save(path)
    alone = [int(read_image(path)[0, 0, 0]) for path in paths]
    assert alone == [249, 62, 249]  # as the brightest pixel of each says
    greys = GreyRange()
    with greys_alike(greys):
        together = [int(read_image(path)[0, 0, 0]) for path in paths]
    assert together == [249] * 3 and greys.ranges == {"u": (0, 1023)}
    assert int(read_image(paths[1])[0, 0, 0]) == 62  # apart again


def test_a_range_of_greys_widens_after_the_dark_and_is_one_for_each_kind(tmp_path: Path) -> None:
    greys = GreyRange()
    frames = ([3, 200], [600, 4000], [600, 100])
    depth = tmp_path / "depth.tif"
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)).save(depth)
    levels = []
    with greys_alike(greys):
        assert read_image(depth)[0, :, 0].tolist() == [0, 128, 255]
        for n, frame in enumerate(frames):
            path = tmp_path / f"{n}.png"
            Image.fromarray(np.array([frame], dtype=np.uint16)).save(path)
            levels.append(int(read_image(path)[0, 0, 0]))
    assert levels == [3, 37, 37]  # of 8 bits, then of 12
    assert greys.ranges == {"f": (0, 1), "u": (0, 4095)}


def test_a_tiff_may_state_what_is_white(tmp_path: Path) -> None:
    path = tmp_path / "stated.tif"
    greys = np.array([[0, 300, 600]], dtype=np.uint16)
    Image.fromarray(greys).save(path, tiffinfo={281: 600})
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([0.0, 0.25, 0.5], [0, 64, 128]),  # 0..1 is taken as it is
        ([-2.0, 0.0, 2.0], [0, 128, 255]),
        ([np.nan, 0.0, 300.0], [0, 0, 255]),
        ([np.nan, np.nan, np.inf], [0, 0, 0]),
        ([7.0, 7.0, 7.0], [0, 0, 0]),
    ],
)
def test_floats_of_a_file(tmp_path: Path, values: list[float], levels: list[int]) -> None:
    path = tmp_path / "floats.tif"
    Image.fromarray(np.array([values], dtype=np.float32)).save(path)
    assert read_image(path)[0, :, 0].tolist() == levels


def test_floating_point_tiffs_are_stretched(tmp_path: Path) -> None:
    path = tmp_path / "depth.tif"
    Image.fromarray(np.array([[-1.0, 0.0, 1.0]], dtype=np.float32)).save(path)
    assert read_image(path)[0, :, 1].tolist() == [0, 128, 255]


def test_arrays_of_every_accepted_form() -> None:
    assert np.array_equal(rgb_from_array(COLOURS), COLOURS)
    assert np.array_equal(rgb_from_array(COLOURS / 255), COLOURS)
    assert rgb_from_array(COLOURS[..., 0]).shape == (2, 3, 3)
    assert rgb_from_array(COLOURS[..., :1]).shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros((4,), np.uint8), r"\(4,\)"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.full((4, 4, 3), 200.0), "200"),
    ],
)
def test_other_arrays_are_refused_by_name(array: np.ndarray, told: str) -> None:
    with pytest.raises(UserError, match=told):
        rgb_from_array(array)


def test_postscript_under_a_pictures_name_starts_no_other_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.check_call", lambda *a, **k: pytest.fail("gs was started"))
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(NotAPicture, match=r"photo\.jpg: not a picture that can be read"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["ppm", "tga", "jp2", "ico", "pcx", "dds", "avif", "bmp"])
def test_further_formats_are_read_whatever_their_name(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(whole)
    other = whole.rename(tmp_path / "other.bin")
    if suffix == "tga":  # has no mark of its own
        other = other.rename(tmp_path / "other.tga")
    assert abs(int(read_image(other)[8, 8, 1]) - 90) <= 2


def test_files_that_are_no_pictures_get_one_clear_line(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(whole)
    cases = {
        "missing.jpg": None,
        "empty.jpg": b"",
        "text.jpg": b"not a picture",
        "dance.mp4": b"what a camera filmed",
        "truncated.jpg": whole.read_bytes()[:900],
    }
    for name, content in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            read_image(path)
        message = str(caught.value)
        assert name in message
        assert "\n" not in message
    with pytest.raises(UserError, match="`spcnet video` takes videos"):
        read_image(tmp_path / "dance.mp4")
    with pytest.raises(UserError, match="folder"):
        read_image(tmp_path)


def test_a_decompression_bomb_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    Image.fromarray(COLOURS).save(path)
    monkeypatch.setattr("spcnet.media.images.MAX_PIXELS", 5)
    with pytest.raises(UserError, match="3 x 2"):
        read_image(path)


def encoded(form: str) -> bytes:
    file = BytesIO()
    Image.fromarray(COLOURS).save(file, format=form)
    return file.getvalue()


def test_bytes_are_read_as_files_are() -> None:
    assert np.array_equal(decode_image(encoded("PNG")), COLOURS)
    assert count_pixels(encoded("TIFF")) == 6
    for empty_or_cut, told in ((b"", "0 bytes"), (encoded("BMP")[:60], "cannot be read")):
        with pytest.raises(UserError, match=told):
            decode_image(empty_or_cut)


def test_bytes_of_formats_that_strangers_need_not_send_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "drawing.ppm"
    path.write_bytes(encoded("PPM"))
    assert np.array_equal(read_image(path), COLOURS)
    with pytest.raises(NotAPicture, match=r"^not a picture"):
        decode_image(path.read_bytes())


def test_bytes_of_a_bomb_are_refused_by_their_header() -> None:
    header = encoded("PNG")[:45]  # there are no pixels to be read
    for read in (count_pixels, decode_image):
        with pytest.raises(TooManyPixels, match=r"^3 x 2 pixels is more than 5e-06"):
            read(header, max_pixels=5)
    assert count_pixels(header, max_pixels=6) == 6
