import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from spcnet.errors import UserError
from spcnet.media import formats
from spcnet.media.images import read_image

HEIC = b"\x00\x00\x00\x18ftypheic"
JXL = b"\x00\x00\x00\x0cJXL \r\n\x87\n"


@pytest.fixture(autouse=True)
def bare_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pillow that knows none of these formats, and no package that does."""
    known = {k: v for k, v in Image.registered_extensions().items() if k != ".avif"}
    monkeypatch.setattr(Image, "registered_extensions", lambda: known)
    for module in ("pillow_heif", "pillow_avif", "pillow_jxl", "rawpy"):
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize(
    ("name", "head", "told"),
    [
        ("a.heic", HEIC, "HEIC needs pillow-heif: pip install pillow-heif"),
        ("called.jpg", HEIC, "HEIC needs pillow-heif"),
        ("a.avif", b"\x00\x00\x00\x1cftypavif", "AVIF needs pillow-avif-plugin: pip install"),
        ("a.jxl", JXL, "JPEG XL needs pillow-jxl-plugin: pip install pillow-jxl-plugin"),
        ("b.jxl", b"\xff\x0a\x00", "JPEG XL needs pillow-jxl-plugin"),
        ("a.NEF", b"MM\x00*", ".NEF files needs rawpy: pip install rawpy"),
    ],
)
def test_the_package_that_reads_a_format_is_named(
    name: str, head: bytes, told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(head.ljust(50, b"x"))
    with pytest.raises(UserError, match=f"{name}: reading {told}"):
        read_image(tmp_path / name)


def test_a_plug_in_that_is_there_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taught = []
    module = ModuleType("pillow_heif")
    module.register_heif_opener = lambda: taught.append("heif")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    (tmp_path / "a.heic").write_bytes(HEIC.ljust(50, b"x"))
    with pytest.raises(UserError, match="not a picture that can be read"):
        read_image(tmp_path / "a.heic")  # this plug-in reads nothing
    assert taught == ["heif"]


def test_other_pictures_ask_for_no_plug_in(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), "red").save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (2, 3, 3)


class Raw:
    """What rawpy gives for a file."""

    sizes = SimpleNamespace(width=4, height=3)

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def postprocess(self) -> np.ndarray:
        return np.full((3, 4, 3), 7, np.uint8)


def test_raw_files_are_developed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.cr2"
    path.write_bytes(b"II*")
    monkeypatch.setitem(sys.modules, "rawpy", SimpleNamespace(imread=lambda name: Raw()))
    assert (read_image(path) == 7).all()
    with pytest.raises(formats.TooManyPixels, match="4 x 3 pixels is more than"):
        formats.read_raw(path, max_pixels=11)

    def broken(name: str) -> Raw:
        raise ValueError("unsupported file format")

    monkeypatch.setitem(sys.modules, "rawpy", SimpleNamespace(imread=broken))
    with pytest.raises(UserError, match=r"a\.cr2: cannot be read: unsupported file format"):
        read_image(path)
