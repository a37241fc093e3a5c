"""Predictions of labelled persons as files that `read_predictions` reads back."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spcnet.data.annotations import AnnotatedPictures, find_labels
from spcnet.data.coco_files import keypoint_file
from spcnet.data.datasets import open_pictures
from spcnet.data.mpii import FILES, TITLE, annolist_index, read_release, submission
from spcnet.evaluation.evaluate import predict_dataset
from spcnet.evaluation.predictions import AXES, INDEX_BASES, check_format
from spcnet.files import replacing
from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator
from spcnet.skeletons import MPII16, Skeleton


def write_predictions(
    path: str | os.PathLike[str],
    points: Array,
    scores: Array,
    labels: AnnotatedPictures,
    *,
    skeleton: Skeleton,
) -> None:
    """Write points (N, K, 2) and scores (N, K) of labelled persons in one of `FORMATS`.

    ``.npz``, ``.mat`` and ``.h5`` hold ``preds``, ``scores``, the names of joints and pictures, the
    order of the axes and what pixels count from; ``.json`` (or ``.json.gz``) is a COCO keypoint
    file whose ``annotations`` are a COCO results list. The points are in the frame of the labels.
    An existing file is replaced; a `UserError` where it cannot be written.
    """
    path = Path(path)
    kind = check_format(path)
    persons = labels.annotations
    # A file that counts from 1 where that is usual, else in the labels' own frame.
    base = INDEX_BASES[kind] or labels.counts_from
    arrays: dict[str, Any] = {
        "preds": np.asarray(points, dtype=np.float64) + (base - labels.counts_from),
        "scores": np.asarray(scores, dtype=np.float64),
        "joints": np.array(skeleton.joints),
        "images": np.array([person.image for person in persons]),
        "index_base": np.array(base),
        "axes": np.array(AXES),
    }
    if all(person.number is not None for person in persons):
        arrays["numbers"] = np.array([person.number for person in persons])
    with replacing(path) as partial:
        if kind == ".npz":
            with partial.open("wb") as stream:
                np.savez_compressed(stream, **arrays)
        elif kind == ".mat":
            import scipy.io

            cells = {name: arrays[name].astype(object) for name in ("joints", "images")}
            scipy.io.savemat(
                str(partial), arrays | cells, appendmat=False, do_compression=True, oned_as="column"
            )
        elif kind == ".h5":
            import h5py

            with h5py.File(partial, "w") as file:
                for name, of in arrays.items():
                    file[name] = np.char.encode(of, "utf-8") if of.dtype.kind == "U" else of
        else:
            found = np.dstack([arrays["preds"], scores]).round(4)
            means = np.mean(scores, axis=1).round(4).tolist()
            rows = [
                {"keypoints": of.ravel().tolist(), "score": mean}
                for of, mean in zip(found, means, strict=True)
            ]
            info = {"index_base": int(base)}
            document = {"info": info, **keypoint_file(persons, rows, skeleton)}
            data = json.dumps(document).encode()
            partial.write_bytes(gzip.compress(data) if path.suffix.lower() == ".gz" else data)


def write_submission(
    path: Path,
    root: str | os.PathLike[str] | None,
    estimator: PoseEstimator,
    *,
    report: Callable[[int], None] = lambda done: None,
) -> tuple[int, int]:
    """Predict MPII's test persons and write the file that its server takes.

    Args:
        path: of ``pred_keypoints_mpii.mat``, as the server wants it called.
        root: MPII's folder, with the official ``.mat``.
        estimator: of a network that can be seen as mpii16; another is a `UserError`.
        report: called with the number of persons that are done.

    Returns:
        how many persons and test images it is of.
    """
    import scipy.io

    channels = estimator.skeleton.view(estimator.view(MPII16))
    persons = open_pictures("mpii", root, "test")
    points, _, annotations = predict_dataset(estimator, persons, crop="mpii", report=report)
    points = np.stack([points[:, of].mean(axis=1) for of in map(list, channels)], axis=1)
    numbers = [annolist_index(person.number or 0) for person in annotations]
    release = find_labels(Path(root or "").expanduser(), FILES["test"], title=TITLE)
    assert release is not None  # the persons are from it
    content = submission(read_release(release), dict(zip(numbers, points, strict=True)))
    with replacing(path) as partial:
        scipy.io.savemat(str(partial), content, do_compression=True, appendmat=False)
    return len(numbers), content["pred"].shape[1]
