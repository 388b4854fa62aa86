"""Parameters from data: layer-sequential unit variance in one forward pass."""

from idinit_jax.calibration.gauges import without_embeddings
from idinit_jax.calibration.lsuv import Calibrated, compile_lsuv, lsuv_calibrate
from idinit_jax.calibration.report import BiasReading, KernelReading, LsuvReport

__all__ = [
    "BiasReading",
    "Calibrated",
    "KernelReading",
    "LsuvReport",
    "compile_lsuv",
    "lsuv_calibrate",
    "without_embeddings",
]
