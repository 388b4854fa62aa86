"""Facts: what is known of every value of a program for all inputs, found by one solver."""

from idinit_jax.tracing.facts.composition import Made
from idinit_jax.tracing.facts.facts import Facts
from idinit_jax.tracing.facts.relation import Relation
from idinit_jax.tracing.facts.settle import find_facts
from idinit_jax.tracing.facts.uses import Use

__all__ = ["Facts", "Made", "Relation", "Use", "find_facts"]
