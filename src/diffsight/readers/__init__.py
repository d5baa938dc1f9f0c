"""Photos to one feature map each, whose cosines mean likeness: by one network, or by several."""

from .base import ModelReader, Reader
from .debiased import Debiased
from .fused import Fused
from .stages import Stages

__all__ = ["Debiased", "Fused", "ModelReader", "Reader", "Stages"]
