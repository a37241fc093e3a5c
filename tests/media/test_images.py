import subprocess
import sys
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

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
        (np.zeros((4, 4, 2), np.uint8), r"4 x 4 x 2"),
        (np.zeros((4,), np.uint8), r"4"),
        (np.zeros((0, 4, 3), np.uint8), r"0 x 4 x 3"),
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


def photo(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Noise (height, width, 3), of which every part of a file says something."""
    return np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)


def with_exif(orientation: int, *entries: bytes) -> bytes:
    """EXIF data of an orientation and further entries of 12 bytes, right or not."""
    count = (1 + len(entries)).to_bytes(2, "little")
    turn = b"\x12\x01\x03\x00\x01\x00\x00\x00" + orientation.to_bytes(4, "little")
    return b"Exif\0\0II*\0\x08\0\0\0" + count + turn + b"".join(entries) + bytes(4)


BROKEN_TAG = b"\x1a\x01\x02\x00\xff\x00\x00\x00\xff\xff\x00\x00"  # a text far beyond the end


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_broken_exif_tag_refuses_no_picture_and_leaves_it_upright(
    tmp_path: Path, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tagged"
    whole = Image.fromarray(photo())
    whole.save(path, form, exif=with_exif(6, BROKEN_TAG), lossless=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as PYTHONWARNINGS=error
        turned = read_image(path)
    assert turned.shape == (64, 48, 3)
    if form != "JPEG":
        assert np.array_equal(turned, np.rot90(photo(), -1))
    for cut in (with_exif(6)[:-6], with_exif(6) + b"\xff" * 9, b"Exif\0\0nonsense"):
        whole.save(path, form, exif=cut, lossless=True)
        assert read_image(path).size == photo().size
    assert all(str(path) in record.getMessage() for record in caplog.records)
    assert caplog.records or form != "JPEG"  # Pillow warns of these alone


def test_a_jpeg_without_its_end_marker_is_read_and_one_without_its_end_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "photo.jpg"
    for how in ({}, {"progressive": True}, {"subsampling": 2, "restart_marker_rows": 1}):
        Image.fromarray(photo((64, 96))).save(path, quality=90, **how)
        whole, content = read_image(path), path.read_bytes()
        path.write_bytes(content[:-2])
        caplog.clear()
        assert np.array_equal(read_image(path), whole)
        (record,) = caplog.records
        assert record.getMessage().startswith(f"{path}: read, but damaged: the file lacks its end")
        assert read_reduced(path, lambda shape: 2).pixels.shape == (32, 48, 3)
        assert np.array_equal(decode_image(content[:-2]), whole)
        for cut in (40, 400, len(content) // 2):
            path.write_bytes(content[:-cut])
            with pytest.raises(UserError, match="truncated"):
                read_image(path)


def chunk(kind: bytes, content: bytes, crc: int | None = None) -> bytes:
    right = zlib.crc32(kind + content)
    return len(content).to_bytes(4) + kind + content + (right if crc is None else crc).to_bytes(4)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    "damaged",
    [
        chunk(b"tEXt", b"Comment\0hello", 7),
        chunk(b"iCCP", b"icc\0\0nothing", 7),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"pHYs", b"\0"),
    ],
    ids=["tEXt", "iCCP", "zTXt", "pHYs"],
)
def test_damaged_chunks_beside_the_pixels_of_a_png_are_left_out(
    tmp_path: Path, damaged: bytes, place: str
) -> None:
    data = BytesIO()
    Image.fromarray(photo()).save(data, "PNG")
    content = data.getvalue()
    at = content.index(b"IDAT" if place == "before" else b"IEND") - 4
    path = tmp_path / "photo.png"
    path.write_bytes(content[:at] + damaged + content[at:])
    assert np.array_equal(read_image(path), photo())
    assert np.array_equal(decode_image(path.read_bytes()), photo())
    pixels = content.index(b"IDAT") + 40
    path.write_bytes(content[:pixels] + b"\0\0\0" + content[pixels + 3 :])
    with pytest.raises(UserError, match=r"photo\.png"):
        read_image(path)


def test_a_large_picture_takes_little_more_memory_than_its_pixels(tmp_path: Path) -> None:
    """25 megapixels of 16 bits: 50 MB in Pillow, 50 as an array and 75 as RGB."""
    path = tmp_path / "wide.png"
    Image.fromarray(np.full((5000, 5000), 40_000, np.uint16)).save(path, compress_level=1)
    code = (
        "import resource, sys; from spcnet.media.images import read_image\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = used(); image = read_image(sys.argv[1]); print(image[0, 0, 0], used() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)
    level, megabytes = map(int, done.stdout.split())
    assert level == 156
    assert megabytes < 240


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "I;16", "I", "F", "1"])
@pytest.mark.parametrize("orientation", [1, 4, 7])
def test_stripes_change_nothing(
    mode: str, orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image.fromarray(photo()).convert("L" if mode in ("I;16", "I", "F") else "RGB")
    image = image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)
    if mode == "P":
        image.info["transparency"] = 3
    image.getexif()[274] = orientation
    whole = rgb_from_pil(image)
    monkeypatch.setattr("spcnet.media.images.STRIPE", 5 * 64)
    assert np.array_equal(rgb_from_pil(image), whole)
    assert whole.shape == ((64, 48, 3) if orientation == 7 else (48, 64, 3))
    upright = ImageOps.exif_transpose(image)
    if mode in ("L", "RGB", "CMYK"):
        assert np.array_equal(whole, np.asarray(upright.convert("RGB")))


def progressive(**options: Any) -> tuple[bytes, bytes]:
    """A progressive JPEG without its end, and its last scan."""
    file = BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(file, "JPEG", progressive=True, **options)
    jpeg = file.getvalue().removesuffix(b"\xff\xd9")
    return jpeg, jpeg[jpeg.rindex(b"\xff\xda") :]


def test_a_jpeg_of_very_many_scans_is_refused_undecoded(tmp_path: Path) -> None:
    jpeg, scan = progressive()
    assert jpeg.count(b"\xff\xda") == 10
    assert decode_image(jpeg + 40 * scan + b"\xff\xd9").shape == (64, 64, 3)
    bomb = jpeg + 41 * scan + b"\xff\xd9"
    for read in (decode_image, count_pixels):
        with pytest.raises(UserError, match="a JPEG of 51 scans; at most 50 are decoded: save"):
            read(bomb)
    (tmp_path / "bomb.jpg").write_bytes(bomb)
    with pytest.raises(UserError, match=r"bomb\.jpg: a JPEG of 51 scans"):
        read_image(tmp_path / "bomb.jpg")
    # Where the coefficients end too early the decoder skips what is no marker, byte by byte.
    hidden = jpeg + b"\xff\x02\x70\x00" + 41 * scan + b"\xff\xd9"
    with pytest.raises(UserError, match="51 scans"):
        decode_image(hidden)


def test_scans_of_thumbnails_and_beyond_the_end_do_not_count() -> None:
    marks = 200 * b"\xff\xda\x00"
    jpeg, _ = progressive(comment=marks)
    plain, _ = progressive()
    film = jpeg + b"\xff\xd9" + marks  # as telephones append one
    assert np.array_equal(decode_image(film), decode_image(plain + b"\xff\xd9"))
