"""No garbage collection while a model is traced."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collection() -> Iterator[None]:
    """Keep the cyclic garbage collector from running inside, then leave it as it was.

    Tracing makes hundreds of thousands of objects that live on, so each of its sweeps searches all
    of them, and all that JAX holds, for next to nothing: a fifth of the time of a cold start.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
