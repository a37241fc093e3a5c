"""What pretrained models that people can install reach on images like LSP extended's."""

from typing import NamedTuple

PROTOCOL = "lspet-pck"
NOTE = (
    "measured on 1,000 images like the validation part of LSP extended, by the same rule; they "
    "never saw this set's labels, and a model trained on its other images did"
)


class Peer(NamedTuple):
    """A model of others: what it is called, and its mean over the limb joints in percent."""

    name: str
    limbs: float


PEERS = (
    Peer("PoseNet", 29.2),
    Peer("OpenVINO human-pose-estimation-0001", 47.0),
    Peer("MediaPipe Pose lite", 49.7),
    Peer("MediaPipe Pose full", 53.9),
    Peer("MediaPipe Pose heavy", 57.2),
    Peer("MediaPipe Pose heavy, its detector's threshold lowered", 61.6),
    Peer("MoveNet Lightning", 58.9),
    Peer("MoveNet Thunder", 66.0),
    Peer("MoveNet Thunder, averaged over four rotations", 68.6),
)
