"""One ``.onnx`` file that stands alone: the graph, the weights and the model card."""

from typing import TYPE_CHECKING, Literal

from spcnet import __version__
from spcnet.checkpoints import METADATA_KEY, ModelCard
from spcnet.export.graph import with_outputs
from spcnet.runtime.onnx_files import HEATMAPS, KEYPOINTS, PRECISION_KEY, SCORES

if TYPE_CHECKING:
    from onnx import ModelProto

Form = Literal["keypoints", "heatmaps"]
OUTPUTS: dict[Form, list[str]] = {"keypoints": [KEYPOINTS, SCORES], "heatmaps": [HEATMAPS]}
ABOUT = (
    "Input: RGB uint8 crops (N, S, S, 3), the square about a person's tight box, box_padding times "
    "its longer side. Output: {outputs}. The metadata's 'spcnet' is a JSON object that has "
    "input_size (S), box_padding, the skeleton's joints, and all else of the model."
)
OUTPUTS_TOLD: dict[Form, str] = {
    "keypoints": "keypoints (N, K, 2), x and y in crop pixels, and scores (N, K) in [0, 1]",
    "heatmaps": "heatmaps (N, K, h, w), whose ideal peak is 1",
}


def finish(
    model: "ModelProto", card: ModelCard, form: Form, *, int8: str | None = None
) -> "ModelProto":
    """A copy with the outputs of one form, and the card in its metadata.

    `int8` says of a quantised model on which persons its ranges were fitted.
    """
    from onnx.helper import set_model_props

    finished = with_outputs(model, OUTPUTS[form])
    finished.producer_name, finished.producer_version = "spcnet", __version__
    finished.doc_string = ABOUT.format(outputs=OUTPUTS_TOLD[form])
    finished.graph.name = card.variant
    metadata = {METADATA_KEY: card.to_json(), PRECISION_KEY: "int8" if int8 else "float32"}
    set_model_props(finished, metadata | ({"int8_ranges": int8} if int8 else {}))
    return finished
