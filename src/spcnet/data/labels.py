"""Labels from a file of any of the known forms, without pictures: what scoring needs."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.datasets import DATASETS
from spcnet.data.label_files import load_h5, load_json, load_mat
from spcnet.errors import UserError

LOADERS: dict[str, Callable[..., Any]] = {
    ".json": load_json,
    ".h5": load_h5,
    ".mat": partial(load_mat, structs=True),
}


def read_labels(path: str | os.PathLike[str], split: str | None = None) -> AnnotatedPictures:
    """The labels of a ``.mat``, ``.h5``, ``.json`` or ``.json.gz``, recognised by what it holds.

    The `split` is a part of the file as its data set names them; by default the part that the field
    scores, or all of it. A file of no known form is a `UserError`.
    """
    path = Path(path)
    known = "; ".join(info.forms for info in DATASETS.values() if info.forms)
    form = Path(path.name.lower().removesuffix(".gz").replace(".hdf5", ".h5")).suffix
    if form not in LOADERS:
        raise UserError(f"{path}: no labels of a known form; known are {known}")
    content = LOADERS[form](path, wanted=known)
    for info in reversed(DATASETS.values()):  # one of yours is asked before ours
        if found := info.recognise(form, content):
            read, scored = found
            return read(path, split or scored)
    raise UserError(f"{path}: holds {', '.join(content) or 'nothing'}; known labels: {known}")
