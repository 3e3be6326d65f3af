"""Losses as pure functions, with a thin module on top of each."""

from eqssl.losses.barlow_twins import BarlowTwinsLoss, barlow_twins
from eqssl.losses.byol import BYOLLoss, byol
from eqssl.losses.correlation import correlation
from eqssl.losses.dino import DINOLoss, dino, dino_centre, dino_crops
from eqssl.losses.kinds import unit
from eqssl.losses.moco import MoCoLoss, moco
from eqssl.losses.moco_v3 import MoCoV3Loss, moco_v3
from eqssl.losses.nt_xent import NTXent, nt_xent
from eqssl.losses.similarity import absorbed_similarity, plain_similarity
from eqssl.losses.simsiam import SimSiamLoss, simsiam
from eqssl.losses.sinkhorn import sinkhorn
from eqssl.losses.swav import SwAVLoss, swav, swav_crops
from eqssl.losses.vicreg import VICRegLoss, vicreg

__all__ = [
    "BYOLLoss",
    "BarlowTwinsLoss",
    "DINOLoss",
    "MoCoLoss",
    "MoCoV3Loss",
    "NTXent",
    "SimSiamLoss",
    "SwAVLoss",
    "VICRegLoss",
    "absorbed_similarity",
    "barlow_twins",
    "byol",
    "correlation",
    "dino",
    "dino_centre",
    "dino_crops",
    "moco",
    "moco_v3",
    "nt_xent",
    "plain_similarity",
    "simsiam",
    "sinkhorn",
    "swav",
    "swav_crops",
    "unit",
    "vicreg",
]
