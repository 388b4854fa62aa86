"""idinit_jax: start neural networks well in JAX."""

from idinit_jax.version import VERSION as __version__

__all__ = ["__version__"]
