"""Schemes: which initializer each part of a model gets, and a whole model in one call."""

from idinit_jax.schemes import (  # noqa: F401 importing a family registers its schemes
    baselines,
    identity,
    mimetic,
    residual,
    transformer,
    variance,
)
from idinit_jax.schemes.choosing import Chosen, Overrides, choose
from idinit_jax.schemes.initialize import initialize
from idinit_jax.schemes.paths import Where
from idinit_jax.schemes.plan import Plan, plan
from idinit_jax.schemes.provenance import Provenance, Record, explain, explain_graph
from idinit_jax.schemes.reinitialize import reinitialize, selection, train_only
from idinit_jax.schemes.replicas import assert_replicas_agree
from idinit_jax.schemes.scheme import (
    Choice,
    Scheme,
    SchemeRule,
    get_scheme,
    register,
    rule,
    schemes,
)

__all__ = [
    "Choice",
    "Chosen",
    "Overrides",
    "Plan",
    "Provenance",
    "Record",
    "Scheme",
    "SchemeRule",
    "Where",
    "assert_replicas_agree",
    "choose",
    "explain",
    "explain_graph",
    "get_scheme",
    "initialize",
    "plan",
    "register",
    "reinitialize",
    "rule",
    "schemes",
    "selection",
    "train_only",
]
