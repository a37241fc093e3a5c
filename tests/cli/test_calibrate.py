"""``spcnet calibrate`` and ``spcnet figure reliability`` from end to end."""

from pathlib import Path

from PIL import Image
from test_commands import fails, spcnet

from spcnet.checkpoints import load_checkpoint


def test_scores_are_fitted_stored_and_drawn(tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "calibrated.safetensors"
    command = ["calibrate", "--model", tiny_checkpoint, "--dataset", "synthetic", "--split", "1-6"]
    done = spcnet(*command, "-o", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:3] == ["Score", "Right", "Joints"]
    assert "fitted on synthetic 1-6, 6 persons, lspet-pck at 0.2" in done.stderr
    card = load_checkpoint(out)[1]
    assert card.calibration is not None
    assert card.calibration.told.startswith("synthetic 1-6, 6 persons")
    fails(*command, "-o", out, told="already exists; --force")
    fails(*command, "-o", tmp_path / "model.pt", told="ends in .safetensors")
    picture = tmp_path / "reliability.png"
    drawn = spcnet("figure", "reliability", "--model", out, "--dataset", "synthetic",
                   "--split", "7-9", "-o", picture)  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr
    assert "calibrated: scores and shares are" in drawn.stdout
    assert Image.open(picture).width > 400
