"""The scalars of Fixup, SkipInit and ReZero, put into models that lack them."""

from idinit_jax.insertion.insert import Inserted, insert_fixup, insert_multipliers

__all__ = ["Inserted", "insert_fixup", "insert_multipliers"]
