"""Schemes: which initializer each part of a model gets, and a whole model in one call."""

from idinit_jax.schemes import identity, variance
from idinit_jax.schemes.choosing import choose
from idinit_jax.schemes.initialize import initialize
from idinit_jax.schemes.scheme import Choice, Scheme, SchemeRule, get_scheme, register, rule, schemes

__all__ = [
    "Choice",
    "Scheme",
    "SchemeRule",
    "choose",
    "get_scheme",
    "identity",
    "initialize",
    "register",
    "rule",
    "schemes",
    "variance",
]
