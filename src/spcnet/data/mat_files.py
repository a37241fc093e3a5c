"""Whether a MATLAB file is what its own sizes say, found out before it is read.

scipy believes the types, sizes and dimensions that a ``.mat`` states: of a damaged one it may ask
for gigabytes, or end the process. Of the form: MathWorks, MAT-File Format (version 5), chapter 1.
"""

import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

# Bytes of a number of each type (mi*): int8, uint8, ..., single, double, int64, uint64, UTF-8, -16,
# -32.
NUMBERS = {
    1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4
}  # fmt: skip
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
CELL, STRUCT, OBJECT, CHARACTERS, SPARSE, FUNCTION, OPAQUE = 1, 2, 3, 4, 5, 16, 17
COMPLEX = 0x800  # among the flags of an array
ONE_NUMBER = [INT32, 8, 1, 1, INT8, 0]  # two axes of one each, and no name
BEGIN = 128  # of the elements, behind the file's header
Words: TypeAlias = Callable[[bytes, int], tuple[int, ...]]
DEEPEST = 64  # cells and structs within one another
MOST_AXES = 32


def check_mat(path: Path, *, most: int) -> None:
    """A `ValueError` where a file of version 5 is damaged, or unpacks to more than `most` bytes.

    Files of other versions pass: version 7.3 is HDF5, and version 4 has nothing but numbers.
    """
    data = path.read_bytes()
    mark, version = data[126:128], data[124:126]
    if 0 in data[:4] or version in (b"\0\2", b"\2\0"):
        return
    if mark not in (b"IM", b"MI") or version not in (b"\0\1", b"\1\0"):
        raise ValueError(f"no header of a MATLAB file (version {version!r}, order {mark!r})")
    order = "<" if mark == b"IM" else ">"
    left, begin = most, BEGIN
    while begin < len(data):
        kind, start, end, begin = _Walk(data, order).element(begin, len(data), padded=False)
        if kind != COMPRESSED:
            _Walk(data, order).matrix(kind, start, end)
            continue
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(data[start:end], left + 1)
        left -= len(content)
        if left < 0:
            raise ValueError(f"it would unpack to more than {most / 1e9:.1f} GB")
        if not unpacking.eof:
            raise ValueError("a compressed variable is cut short")
        walk = _Walk(content, order)
        walk.matrix(*walk.element(0, len(content), padded=False)[:3])


class _Walk:
    """The elements of a file, of which every one must lie within the one that holds it."""

    def __init__(self, data: bytes, order: str) -> None:
        self.data = data
        self.order = order
        self.words: Words = struct.Struct(f"{order}2I").unpack_from
        self.usual: Words = struct.Struct(f"{order}14I").unpack_from

    def element(self, begin: int, end: int, *, padded: bool = True) -> tuple[int, int, int, int]:
        """Type of the element at `begin`, where its content begins and ends, where the next is."""
        if end - begin < 8:
            raise ValueError(f"cut short at byte {begin}")
        kind, size = self.words(self.data, begin)
        if kind >> 16:  # a small one has its content within the tag
            kind, size = kind & 0xFFFF, kind >> 16
            start, after = begin + 4, begin + 8
            if size > 4:
                raise ValueError(f"a small element of {size} bytes at byte {begin}")
        else:
            start = begin + 8
            after = start + size
            if padded and kind != COMPRESSED:
                after += -size % 8
        if start + size > end or (kind not in NUMBERS and kind not in (MATRIX, COMPRESSED)):
            raise ValueError(f"an element of type {kind} and {size} bytes at byte {begin}")
        return kind, start, start + size, min(after, end)

    def numbers(self, begin: int, end: int, *kinds: int) -> tuple[int, int, int, int]:
        """The same of an element of numbers, or of one of some types."""
        kind, start, stop, after = self.element(begin, end)
        if kind not in (kinds or NUMBERS) or (stop - start) % NUMBERS[kind]:
            raise ValueError(f"an element of type {kind} and {stop - start} bytes at byte {begin}")
        return kind, start, stop, after

    def matrix(self, kind: int, begin: int, end: int, *, depth: int = 0) -> None:
        """Check an array, from after its tag."""
        if kind != MATRIX or depth > DEEPEST:
            raise ValueError(f"an element of type {kind} in place of an array at byte {begin}")
        if begin == end:  # an empty one
            return
        _, start, stop, at = self.numbers(begin, end, UINT32)
        if stop - start != 8:
            raise ValueError(f"no flags of an array at byte {begin}")
        flags = self.words(self.data, start)[0]
        form = flags & 0xFF
        if form == OPAQUE:  # three names, then an array
            for _ in range(3):
                *_, at = self.numbers(at, end, INT8)
            self._arrays(at, end, 1, depth)
            return
        _, start, stop, at = self.numbers(at, end, INT32)
        axes = (stop - start) // 4
        dimensions = struct.unpack_from(f"{self.order}{axes}i", self.data, start)
        if not 2 <= axes <= MOST_AXES or min(dimensions) < 0:
            raise ValueError(f"dimensions {dimensions} at byte {begin}")
        count = math.prod(dimensions)
        *_, at = self.numbers(at, end, INT8)  # its name
        if form in (CELL, FUNCTION):
            self._arrays(at, end, count if form == CELL else 1, depth)
        elif form in (STRUCT, OBJECT):
            self._struct(at, end, count, depth, named=form == OBJECT)
        elif form == SPARSE:
            for _ in range(4 if flags & COMPLEX else 3):
                *_, at = self.numbers(at, end)
        elif form == CHARACTERS or 6 <= form <= 15:
            for _ in range(2 if flags & COMPLEX and form != CHARACTERS else 1):
                kind, start, stop, at = self.numbers(at, end)
                held = (stop - start) // NUMBERS[kind]
                # Of characters in UTF-8 there are fewer than bytes.
                if held != count and not (form == CHARACTERS and held > count):
                    raise ValueError(f"{held} numbers of an array of {dimensions} at byte {begin}")
        else:
            raise ValueError(f"an array of class {form} at byte {begin}")

    def _struct(self, at: int, end: int, count: int, depth: int, *, named: bool) -> None:
        if named:
            *_, at = self.numbers(at, end, INT8)
        _, start, stop, at = self.numbers(at, end, INT32)
        (length,) = struct.unpack_from(f"{self.order}i", self.data, start) if stop > start else (0,)
        _, start, stop, at = self.numbers(at, end, INT8)
        if stop - start and (length < 1 or (stop - start) % length):
            raise ValueError(f"field names of {length} bytes each in {stop - start}")
        fields = (stop - start) // length if stop - start else 0
        if not fields and count > 1:
            raise ValueError(f"{count} structs without fields")
        self._arrays(at, end, count * fields, depth)

    def _arrays(self, at: int, end: int, count: int, depth: int) -> None:
        if count * 8 > end - at:
            raise ValueError(f"{count} arrays in {end - at} bytes at byte {at}")
        for _ in range(count):
            if at + 56 <= end and (size := self._number(self.usual(self.data, at))):
                if at + 8 + size > end:
                    raise ValueError(f"an array of {size} bytes at byte {at}")
                at += 8 + size
                continue
            kind, start, stop, at = self.element(at, end)
            self.matrix(kind, start, stop, depth=depth + 1)

    @staticmethod
    def _number(words: tuple[int, ...]) -> int:
        """Bytes of a nameless array of one real number, as most in structs are; else 0."""
        kind, size, flags_kind, flags_size, flags, _, *others, word, count = words
        if kind != MATRIX or (flags_kind, flags_size) != (UINT32, 8) or others != ONE_NUMBER:
            return 0
        if not 6 <= flags & 0xFF <= 15 or flags & COMPLEX:
            return 0
        if size == 48:
            return size if NUMBERS.get(word & 0xFFFF) == word >> 16 else 0
        return size if size == 56 and NUMBERS.get(word) == count else 0
