import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from spcnet.data.label_files import load_json, load_mat, load_npz
from spcnet.data.mat_files import check_mat
from spcnet.errors import UserError

MOST = 1 << 24


def example(*, compressed: bool = False) -> bytes:
    people = np.zeros((1, 2), dtype=[("coords", "O"), ("filepath", "O")])
    for n in range(2):
        people[0, n] = (np.arange(58.0).reshape(2, 29), f"{n}.jpg")
    content = {
        "examples": people,
        "joints": np.arange(30, dtype=np.uint8).reshape(3, 2, 5),
        "cells": np.array([["a", np.arange(3), 7.5, 3]], dtype=object),
        "complex": np.array([1 + 2j, 3]),
        "text": "h\u00e9llo",
        "empty": np.zeros((0, 0)),
        "sparse": scipy.sparse.csc_matrix(np.eye(3)),
        "flag": np.array([True, False]),
    }
    stream = io.BytesIO()
    scipy.io.savemat(stream, content, do_compression=compressed)
    return stream.getvalue()


def put(data: bytes, at: int, *words: int) -> bytes:
    packed = struct.pack(f"<{len(words)}I", *words)
    return data[:at] + packed + data[at + len(packed) :]


@pytest.mark.parametrize("compressed", [False, True])
def test_whole_files_pass(tmp_path: Path, compressed: bool) -> None:
    (tmp_path / "a.mat").write_bytes(example(compressed=compressed))
    check_mat(tmp_path / "a.mat", most=MOST)
    content = load_mat(tmp_path / "a.mat", wanted="a test")
    assert content["joints"].tolist() == np.arange(30).reshape(3, 2, 5).tolist()
    assert content["examples"].shape == (1, 2)


# Of the first variable: its tag at 128, flags at 136, dimensions at 152, name at 168, the length of
# field names at 184.
@pytest.mark.parametrize(
    ("at", "words"),
    [
        (128, [15, 8]),  # compressed, which it is not
        (128, [14, 1 << 31]),  # larger than the file
        (144, [1 << 8]),  # an array of no class
        (152, [5, 4]),  # one axis
        (160, [1 << 28, 1 << 28]),  # 2^56 structs
        (160, [0xFFFFFFFF, 2]),  # less than none
        (168, [1, 1 << 20]),  # a name longer than the file
        (192, [0, 2016]),  # an element of no type
    ],
)
def test_a_file_whose_sizes_are_wrong_is_refused_before_it_is_read(
    tmp_path: Path, at: int, words: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def loadmat(*args: Any, **how: Any) -> None:
        raise AssertionError("scipy was asked to read it")

    monkeypatch.setattr(scipy.io, "loadmat", loadmat)
    (tmp_path / "a.mat").write_bytes(put(example(), at, *words))
    with pytest.raises(UserError, match=r"a\.mat: not a test, or half a download"):
        load_mat(tmp_path / "a.mat", wanted="a test")


def test_any_cut_and_any_changed_word_is_read_or_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    data = example()
    for _ in range(150):
        changed = put(data, int(random.integers(31, len(data) // 4 - 1)) * 4, int(random.choice(
            [0, 1, 5, 6, 14, 15, 1 << 16, 1 << 20, 1 << 31, 0xFFFFFFFF]
        )))  # fmt: skip
        cut = int(random.integers(0, len(data)))
        for content in (changed, data[:cut]):
            (tmp_path / "a.mat").write_bytes(content)
            try:
                load_mat(tmp_path / "a.mat", wanted="a test", structs=bool(random.integers(2)))
            except UserError as error:
                assert "\n" not in str(error)


def test_few_bytes_do_not_unpack_to_many(tmp_path: Path) -> None:
    zeros = zlib.compress(bytes(MOST + 100), 9)
    data = example()[:128] + struct.pack("<II", 15, len(zeros)) + zeros
    (tmp_path / "a.mat").write_bytes(data)
    with pytest.raises(ValueError, match="unpack to more than"):
        check_mat(tmp_path / "a.mat", most=MOST)


def test_archives_and_jsons_do_not_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    monkeypatch.setattr("spcnet.data.label_files.MOST_BYTES", 1000)
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(10_000))
    (tmp_path / "a.json").write_bytes(gzip.compress(b"[" + b"0," * 1000 + b"0]"))
    for load in (load_npz, load_json):
        with pytest.raises(UserError, match="would unpack to"):
            load(tmp_path / ("a.npz" if load is load_npz else "a.json"), wanted="a test")
