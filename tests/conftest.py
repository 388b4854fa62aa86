"""A strict session: eight CPU devices, no silent promotion, every warning an error."""

import os
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)

import hypothesis
import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Shapes and seeds vary, the wall clock of a shared machine must not decide: no deadline, and the
# same examples on every run.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("suite")


@pytest.fixture
def key() -> jax.Array:
    """One fixed typed key; tests that need several split it."""
    return jax.random.key(20250311)


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """Programs that run only a few times need not run fast.

    Their last bits may differ, so none outlives its module, and none comes from another.
    """
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()
