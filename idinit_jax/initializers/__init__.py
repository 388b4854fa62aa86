"""Initializers: key, shape, dtype, out_sharding -> Array."""

from idinit_jax.initializers.axes import KernelAxes, kernel_axes
from idinit_jax.initializers.constants import constant, ones, zeros
from idinit_jax.initializers.contract import Initializer, KernelRule, Key, Rule
from idinit_jax.initializers.distributions import (
    normal,
    truncated_normal,
    truncated_normal_exact,
    uniform,
)
from idinit_jax.initializers.gains import NONLINEARITIES, gain
from idinit_jax.initializers.hadamard import zero_hadamard
from idinit_jax.initializers.identity import dirac, idinit, zeros_identity
from idinit_jax.initializers.orthonormal import delta_orthogonal, lsuv, orthogonal
from idinit_jax.initializers.patterns import DEFAULT_LAYOUT, LAYOUTS, Layout
from idinit_jax.initializers.perturbation import perturbed, zeros_perturbed
from idinit_jax.initializers.scaling import he, lecun, variance_scaling, xavier
from idinit_jax.initializers.sparsity import sparse

__all__ = [
    "DEFAULT_LAYOUT",
    "LAYOUTS",
    "NONLINEARITIES",
    "Initializer",
    "KernelAxes",
    "KernelRule",
    "Key",
    "Layout",
    "Rule",
    "constant",
    "delta_orthogonal",
    "dirac",
    "gain",
    "he",
    "idinit",
    "kernel_axes",
    "lecun",
    "lsuv",
    "normal",
    "ones",
    "orthogonal",
    "perturbed",
    "sparse",
    "truncated_normal",
    "truncated_normal_exact",
    "uniform",
    "variance_scaling",
    "xavier",
    "zero_hadamard",
    "zeros",
    "zeros_identity",
    "zeros_perturbed",
]
