import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from command_line import fails, spcnet

from spcnet.skeletons import LSP14


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Five persons in LSP extended's form; the torso is 100 long, all joints are labelled."""
    joints = np.random.default_rng(0).integers(0, 300, (14, 3, 5)).astype(float)
    joints[:, 2] = 1
    joints[LSP14.index("left_shoulder"), :2] = [[100.0], [100.0]]
    joints[LSP14.index("right_hip"), :2] = [[160.0], [180.0]]
    path = tmp_path / "joints.mat"
    scipy.io.savemat(path, {"joints": joints})
    return path


def predicted(labels: Path) -> np.ndarray:
    """(5, 14, 2), the labels with the left wrist 30 % of the torso away for two persons."""
    points = scipy.io.loadmat(labels)["joints"][:, :2].transpose(2, 0, 1)
    points[:2, LSP14.index("left_wrist"), 0] += 30
    return points


def test_a_score_as_json_has_the_fields_that_stay(labels: Path, tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "p.mat", {"preds": predicted(labels)})
    done = spcnet(
        "score", tmp_path / "p.mat", "--protocol", "lspet-pck", "--ground-truth", labels, "--json"
    )
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert {"protocol", "mean", "parts", "joints", "persons", "mean_limbs"} <= values.keys()
    assert values["joints"]["left_wrist"] == 60
    assert values["mean"] == pytest.approx((13 * 100 + 60) / 14)
    assert values["mean_limbs"] == pytest.approx((11 * 100 + 60) / 12)
    assert values["parts"]["Wri"] == 80
    assert values["persons"] == 5


def test_persons_without_a_torso_are_counted_aloud(labels: Path, tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "p.mat", {"preds": predicted(labels)})
    joints = scipy.io.loadmat(labels)["joints"]
    joints[LSP14.index("left_shoulder"), 2, :2] = 0
    scipy.io.savemat(labels, {"joints": joints})
    done = spcnet(
        "score", tmp_path / "p.mat", "--protocol", "torso-pck", "--ground-truth", labels, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert "2 persons without a torso left out\n" in done.stderr
    assert (json.loads(done.stdout)["persons"], json.loads(done.stdout)["left_out"]) == (3, 2)


def test_index_bases_that_agree_cancel_and_others_shift(labels: Path, tmp_path: Path) -> None:
    points = predicted(labels)
    np.savez(tmp_path / "zero.npz", preds=points - 1)
    np.savez(tmp_path / "one.npz", preds=points)
    scores = []
    for name, options in (("zero", ()), ("one", ("--index-base", 1)), ("one", ())):
        done = spcnet(
            "score", tmp_path / f"{name}.npz", "--protocol", "lspet-pck", "--json",
            "--ground-truth", labels, "--threshold", 0.01, *options,
        )  # fmt: skip
        scores.append(json.loads(done.stdout)["mean"])
    # A pixel in both directions is 1.4 % of the torso.
    assert scores == pytest.approx([100 * (13 + 0.6) / 14, 100 * (13 + 0.6) / 14, 0])


def test_a_table_under_the_papers_in_three_styles(labels: Path, tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "p.mat", {"preds": predicted(labels)})
    arguments = ("score", tmp_path / "p.mat", "--protocol", "lsp-pc", "--compare")
    joints = scipy.io.loadmat(labels)["joints"].transpose(1, 0, 2)
    scipy.io.savemat(tmp_path / "lsp.mat", {"joints": joints})
    arguments = (*arguments, "--ground-truth", tmp_path / "lsp.mat")
    text = spcnet(*arguments).stdout
    assert "Table 6 of the paper" in text
    assert [line.split()[-2] for line in text.splitlines() if "SPCNet (paper)" in line] == ["96.4"]
    assert [line.split()[-2] for line in text.splitlines() if line.startswith("p.mat")] == ["97.1"]
    markdown = spcnet(*arguments, "--format", "markdown").stdout
    assert "| SPCNet (paper)" in markdown
    assert "Joint" not in markdown  # a document takes the table alone
    latex = spcnet(*arguments, "--format", "latex").stdout
    assert latex.startswith("% Table 6")
    assert r"\begin{tabular}{lrrrrrrrrl}" in latex
    assert r"Belagiannis \& Zisserman" in latex
    values = json.loads(spcnet(*arguments, "--json").stdout)
    assert values["comparison"]["number"] == 6
    assert values["comparison"]["ours"]["values"][-1] == pytest.approx(values["mean"])
    assert values["comparison"]["rows"][-1]["values"][-1] == 96.4
    for options in (("--format", "html"), ("--json", "--format", "latex")):
        wrong = spcnet(*arguments, *options)
        assert wrong.returncode == 2
        assert f"--format {options[-1]}" in wrong.stderr
    foreign = spcnet(*arguments[:3], "flic", *arguments[4:])
    assert "warning: flic is the rule of flic, and these labels are lsp's" in foreign.stderr
    assert "NOT comparable: our row is flic on lsp all" in foreign.stdout


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ("none", ("--protocol", "pckh"), "unknown protocol 'pckh'"),
        ("none", ("--protocol", "coco-oks"), "COCO's 17 joints"),
        ("four", (), "are not 5 persons x 14 joints"),
        ("joints", (), "--joints|14 joints"),
        ("nothing", (), "no such file"),
        ("none", ("--threshold", "-1"), "threshold must be"),
        ("none", ("--axes", "xyz"), "--axes xyz"),
        ("none", ("--key", "wrong"), "'wrong'"),
        ("none", ("--split", "9"), "go from 1 to 5"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(
    labels: Path, tmp_path: Path, change: str, options: tuple[str, ...], message: str
) -> None:
    points = predicted(labels)
    points = {"four": points[:4], "joints": points[:, :10]}.get(change, points)
    path = tmp_path / "p.mat"
    if change != "nothing":
        scipy.io.savemat(path, {"preds": points})
    protocol = () if "--protocol" in options else ("--protocol", "lspet-pck")
    done = spcnet("score", path, "--ground-truth", labels, *protocol, *options)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert any(part in done.stderr for part in message.split("|")), done.stderr
    assert "Traceback" not in done.stderr


def test_protocols_are_listed_and_wrong_usage_says_what_is_wanted() -> None:
    listed = spcnet("score", "--list")
    assert listed.returncode == 0
    for name in ("mpii-tompson", "mpii-official", "mpii-msra", "lsp-pc", "lspet-pck", "coco-oks"):
        assert name in listed.stdout
    bare = spcnet("score")
    assert bare.returncode == 2
    assert "--ground-truth" in bare.stderr


def labelled_twice(folder: Path) -> tuple[Path, Path]:
    """Two people's labels of 200 persons of a skeleton of its own, in another order of ids."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(20, 80, (200, 2, 2))
    paths = folder / "one.json", folder / "two.json"
    for path in paths:
        strayed = truth + rng.normal(size=truth.shape) * np.array([3.0, 6.0])[None, :, None]
        rows = [
            {"id": n, "image_id": 1 + k, "category_id": 1, "bbox": [0, 0, 100, 100], "area": 9000,
             "keypoints": np.column_stack([strayed[k], [2, 2]]).ravel().tolist()}
            for n, k in enumerate(rng.permutation(200).tolist(), start=1)
        ]  # fmt: skip
        names = ["tip", "root"]
        images = [{"id": n, "file_name": f"{n}.jpg"} for n in range(1, 201)]
        category = {"id": 1, "name": "leaf", "keypoints": names, "skeleton": [[1, 2]]}
        content = {"images": images, "annotations": rows, "categories": [category]}
        path.write_text(json.dumps(content))
    return paths


def test_constants_of_two_labellers_score_a_skeleton_of_ones_own(tmp_path: Path) -> None:
    one, two = labelled_twice(tmp_path)
    done = spcnet("data", "sigmas", one, two, "-o", tmp_path / "sigmas.json")
    assert done.returncode == 0, done.stderr
    sigmas = json.loads((tmp_path / "sigmas.json").read_text())
    # A label strays by the root of two times 3 (6) px, of persons of 9000 square pixels.
    expected = {"tip": 3 * 2**0.5 / 9000**0.5, "root": 6 * 2**0.5 / 9000**0.5}
    assert sigmas == pytest.approx(expected, rel=0.1)
    command = ["score", two, "--protocol", "oks", "--ground-truth", one, "--json"]
    scored = spcnet(*command, "--sigmas", tmp_path / "sigmas.json")
    assert scored.returncode == 0, scored.stderr
    values = json.loads(scored.stdout)
    assert values["protocol"] == "oks" and list(values["joints"]) == ["tip", "root"]
    shown = spcnet(*command[:-1], "--sigmas", tmp_path / "sigmas.json").stdout.split()
    assert "AP" in shown and "OKS" in shown and not {"PCK", "Mean"} & set(shown)
    # d^2 of two labels that stray alike is exponential about 2 sigma^2 area: the mean of
    # exp(-d^2 / (8 sigma^2 area)) is 1 / (1 + 2 / 8).
    assert values["joints"]["tip"] == pytest.approx(80, abs=5)


def test_constants_that_do_not_fit_are_one_clear_line(tmp_path: Path) -> None:
    one, two = labelled_twice(tmp_path)
    command = ["score", two, "--ground-truth", one, "--protocol"]
    fails(*command, "oks", told="oks needs the joints' constants: --sigmas FILE")
    fails(*command, "coco-oks", told="(oks takes any skeleton with constants")
    (tmp_path / "s.json").write_text('{"tip": 0.1}')
    sigmas = ["--sigmas", tmp_path / "s.json"]
    fails(*command, "oks", *sigmas, told="no constant for root of the labels; made by hand")
    fails(*command, "pck-box", *sigmas, told="protocol 'pck-box' has no constants of joints")
    (tmp_path / "s.json").write_text('{"tip": 0.1, "root": -1}')
    fails(*command, "oks", *sigmas, told="root: a constant is a number above 0, got -1")
    fails("data", "sigmas", one, one, told="the same in both files: were they copied?")
