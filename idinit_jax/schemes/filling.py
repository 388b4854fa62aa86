"""From an initializer to the fill that makes the same values faster, whole or in parts."""

import math
from functools import singledispatch
from typing import Any

from idinit_jax import initializers as init
from idinit_jax.initializers.distributions import truncated_std
from idinit_jax.initializers.scaling import fan
from idinit_jax.schemes.fill import Constant, Draws, Entries, Fill, Pattern, Perturbed, Whole
from idinit_jax.schemes.nonzeros import identity_entries, zero_sum_entries

_TABLED_CUT = 2.0


@singledispatch
def fill_of(initializer: Any, view: tuple[int, ...]) -> Fill:
    """The fill of an array of shape `view`; any initializer that is not known is simply called."""
    return Whole(initializer, view, std=None)


@fill_of.register
def _(initializer: init.constant, _view: tuple[int, ...]) -> Fill:
    return Constant(float(initializer.value))


@fill_of.register
def _(_initializer: init.zeros, _view: tuple[int, ...]) -> Fill:
    return Constant(0.0)


@fill_of.register
def _(_initializer: init.ones, _view: tuple[int, ...]) -> Fill:
    return Constant(1.0)


@fill_of.register
def _(initializer: init.normal, _view: tuple[int, ...]) -> Fill:
    return Draws("normal", initializer.std)


@fill_of.register
def _(initializer: init.zeros_perturbed, _view: tuple[int, ...]) -> Fill:
    return Draws("normal", initializer.std)


@fill_of.register
def _(initializer: init.truncated_normal, view: tuple[int, ...]) -> Fill:
    std = initializer.parent_std * truncated_std(initializer.cut)
    if initializer.cut != _TABLED_CUT:
        return Whole(initializer, view, std)
    return Draws("truncated_normal", std)


@fill_of.register
def _(initializer: init.uniform, view: tuple[int, ...]) -> Fill:
    std = (initializer.high - initializer.low) / math.sqrt(12)
    if initializer.high != -initializer.low:
        return Whole(initializer, view, std)
    return Draws("uniform", std)


@fill_of.register
def _(initializer: init.variance_scaling, view: tuple[int, ...]) -> Fill:
    std = math.sqrt(initializer.scale / fan(axes_of(initializer, view), initializer.mode))
    return Draws(initializer.distribution, std)


@fill_of.register
def _(initializer: init.he, view: tuple[int, ...]) -> Fill:
    gain = init.gain(initializer.nonlinearity, initializer.negative_slope)
    std = gain / math.sqrt(fan(axes_of(initializer, view), initializer.mode))
    return Draws(initializer.distribution, std)


@fill_of.register
def _(initializer: init.xavier, view: tuple[int, ...]) -> Fill:
    std = initializer.gain / math.sqrt(fan(axes_of(initializer, view), "fan_avg"))
    return Draws(initializer.distribution, std)


@fill_of.register
def _(initializer: init.lecun, view: tuple[int, ...]) -> Fill:
    std = 1 / math.sqrt(fan(axes_of(initializer, view), "fan_in"))
    return Draws(initializer.distribution, std)


@fill_of.register
def _(initializer: init.idinit, view: tuple[int, ...]) -> Fill:
    axes, tau, noise = axes_of(initializer, view), initializer.tau, initializer.noise
    return _entries(identity_entries, axes, initializer.layout, tau, noise)


@fill_of.register
def _(initializer: init.zeros_identity, view: tuple[int, ...]) -> Fill:
    axes = axes_of(initializer, view)
    return _entries(zero_sum_entries, axes, initializer.layout, initializer.epsilon)


def _entries(
    pattern: Pattern, axes: init.KernelAxes, layout: init.Layout, entry: float, noise: float = 0.0
) -> Fill:
    return Constant(0.0) if 0 in axes.shape else Entries(pattern, axes, layout, entry, noise)


@fill_of.register(init.orthogonal | init.lsuv)
def _(initializer: init.orthogonal | init.lsuv, view: tuple[int, ...]) -> Fill:
    _, _, rows, columns = axes_of(initializer, view).matrix_shape
    gain = initializer.gain if isinstance(initializer, init.orthogonal) else 1.0
    return Whole(initializer, view, abs(gain) / math.sqrt(max(rows, columns)))


@fill_of.register
def _(initializer: init.perturbed, view: tuple[int, ...]) -> Fill:
    base = fill_of(initializer.rule, view)
    return Perturbed(base, initializer.std) if initializer.std else base


def axes_of(initializer: init.KernelRule, view: tuple[int, ...]) -> init.KernelAxes:
    """The meaning of the axes of `view` as the initializer was told it."""
    return init.kernel_axes(
        view,
        initializer.in_axis,
        initializer.out_axis,
        initializer.batch_axis,
        initializer.groups,
    )
