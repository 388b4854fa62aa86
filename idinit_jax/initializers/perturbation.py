"""Any start plus a small random one."""

import dataclasses
from typing import Any

import jax

from idinit_jax.initializers.arguments import check_not_negative
from idinit_jax.initializers.contract import Key, Rule
from idinit_jax.initializers.sampling import draw_normal


@dataclasses.dataclass(frozen=True, repr=False)
class perturbed(Rule):
    """Another rule's values plus independent N(0, std^2) noise on every entry.

    Args:
        rule: an initializer of this package, such as `ones()` for the scale of a norm.
        std: standard deviation of the noise, at least 0.

    Returns:
        An initializer.

    Raises:
        TypeError: rule is not an initializer of this package.
        ValueError: std is negative.

    >>> import idinit_jax, jax
    >>> scale = idinit_jax.perturbed(idinit_jax.ones(), 1e-3)(jax.random.key(0), (1000,))
    >>> round(float(scale.mean()), 3), round(float(scale.std()), 3)
    (1.0, 0.001)
    """

    rule: Rule
    std: float = 1e-3

    def __post_init__(self) -> None:
        if not isinstance(self.rule, Rule):
            raise TypeError(f"rule must be an initializer such as ones(), got {self.rule!r}")
        check_not_negative("std", self.std)

    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        rule_key, noise_key = jax.random.split(key)
        noise = draw_normal(self.std, noise_key, shape, dtype)
        return self.rule.values(rule_key if self.rule.needs_key else None, shape, dtype) + noise


@dataclasses.dataclass(frozen=True, repr=False)
class zeros_perturbed(Rule):
    """Zero plus a small perturbation, N(0, std^2): the baseline that only breaks symmetry.

    Args:
        std: standard deviation of the perturbation, at least 0.

    Returns:
        An initializer.

    Raises:
        ValueError: std is negative.

    >>> import idinit_jax, jax
    >>> round(float(idinit_jax.zeros_perturbed()(jax.random.key(0), (64, 64)).std()), 4)
    0.001
    """

    std: float = 1e-3

    def __post_init__(self) -> None:
        check_not_negative("std", self.std)

    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return draw_normal(self.std, key, shape, dtype)
