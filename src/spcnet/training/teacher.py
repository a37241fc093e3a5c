"""A trained network that another learns from (distillation)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from spcnet.checkpoints import load_checkpoint
from spcnet.errors import UserError
from spcnet.models.network import channels_last
from spcnet.skeletons import Skeleton
from spcnet.training.weights import weights_of


class Teacher:
    """Says where a trained network sees the joints of training crops.

    Args:
        name: a model with weights, or a ``.safetensors``.
        skeleton: of the labels.
        device: where the crops are.

    Attributes:
        joints: channels of the labels' joints that the teacher knows, in the order of its maps.

    Raises:
        UserError: there is no such model, or it predicts a joint that the labels do not have.
    """

    def __init__(self, name: str, *, skeleton: Skeleton, device: torch.device) -> None:
        network, self.card = load_checkpoint(weights_of("loss.teacher", name))
        own = self.card.skeleton.joints
        if not set(own) <= set(skeleton.joints):
            raise UserError(
                f"loss.teacher: {name} predicts {self.card.skeleton.name!r}, and the data are "
                f"annotated with {skeleton.name!r}"
            )
        self.joints = [skeleton.index(joint) for joint in own]
        self.network = channels_last(network.to(device)).eval()

    @torch.no_grad()
    def look(self, images: Tensor, *, cells: int) -> Tensor:
        """Probabilities of the cells of its maps, (B, J, cells, cells); their sum is at most 1.

        Args:
            images: (B, 3, S, S), normalised as for training; another size than the teacher's own
                is changed to that.
            cells: side of the maps.
        """
        codec = self.card.codec
        side = codec.input_size
        if images.shape[-1] != side:
            images = F.interpolate(
                images, size=(side, side), mode="bilinear", align_corners=False, antialias=True
            )
        raw = self.network(images.contiguous(memory_format=torch.channels_last))
        places = codec.activate(raw).clamp_min(0) / codec.mass
        if places.shape[-1] != cells:
            # The mass of a cell is that of the area it covers.
            ratio = places.shape[-1] / cells
            places = ratio**2 * F.interpolate(
                places, size=(cells, cells), mode="bilinear", align_corners=False, antialias=True
            )
        return places / places.sum((-1, -2), keepdim=True).clamp_min(1)
