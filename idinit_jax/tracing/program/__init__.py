"""A traced forward pass: its jaxpr, as a straight line, and run with hooks."""

from idinit_jax.tracing.program.program import Program, PyTree, Site, is_state

__all__ = ["Program", "PyTree", "Site", "is_state"]
