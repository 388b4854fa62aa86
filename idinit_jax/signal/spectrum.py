"""Singular values of the Jacobian of a model: all of them, or the largest with error bounds."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from idinit_jax.signal.jacobian import Between, between
from idinit_jax.tracing import traced_with
from idinit_jax.tracing.frameworks import with_named
from idinit_jax.tracing.program import PyTree

EXACT_LIMIT = 256
# Of the products, this many estimate the mean square; two make one Lanczos step.
PROBES = 10

Product = Callable[[jax.Array], jax.Array]


class Spectrum(NamedTuple):
    """Singular values of a Jacobian.

    Attributes:
        singular_values: largest first; all of them if `method` is "exact".
        errors: for each a bound: the Jacobian has a singular value within it.
        mean_square: mean of the squares of all singular values (criticality, near 1).
        mean_square_error: its standard error, 0 if exact.
        condition: largest over smallest (isometry, near 1); under "lanczos" only a lower bound.
        method: "exact" or "lanczos".
        shape: of the Jacobian, (outputs, inputs).
        products: Jacobian-vector plus vector-Jacobian products that were spent.
    """

    singular_values: np.ndarray
    errors: np.ndarray
    mean_square: float
    mean_square_error: float
    condition: float
    method: str
    shape: tuple[int, int]
    products: int

    def __str__(self) -> str:
        from idinit_jax.signal.table import format_spectrum

        return format_spectrum(self)


def spectrum(
    model: Any,
    values: PyTree,
    *inputs: PyTree,
    start: str = "input",
    end: str = "output",
    count: int = 20,
    products: int = 60,
    exact_limit: int = EXACT_LIMIT,
    key: jax.Array | None = None,
    call_kwargs: Mapping[str, Any] = {},
) -> Spectrum:
    """Singular values of the Jacobian J between two points of a model.

    Up to `exact_limit` rows or columns J is written out. Above, Golub-Kahan-Lanczos
    bidiagonalization with full reorthogonalization takes k steps from a random vector,
    `J V = U B`, `J^T U = V B^T + beta v e_k^T`; a singular value s of the small B with left
    singular vector p stands for one of J within `beta |p_k|`. The mean square is
    `|B|_F^2 + E |J (I - V V^T) z|^2` over `min(J.shape)`, z normal.

    A batch makes J block diagonal, unless the model mixes examples; one example is usual.

    Args:
        model, values, inputs, call_kwargs: see `measure`.
        start, end: "input", "output", or the name of a row of `measure`, such as
            "blocks/+[3]". A model of integers starts behind its embedding.
        count: how many of the largest singular values to give, where not all are computed.
        products: at most this many products with J and its transpose, at least 14.
        exact_limit: largest smaller side of J for which it is written out.
        key: for the random vectors, by default `jax.random.key(0)`.

    Raises:
        ValueError: an unknown point, a start without derivative, or too few products.

    >>> import jax, jax.numpy as jnp, idinit_jax
    >>> kernel = idinit_jax.orthogonal()(jax.random.key(0), (8, 8))
    >>> found = spectrum(lambda w, x: x @ w, kernel, jnp.ones((1, 8)))
    >>> found.singular_values.round(3).tolist(), round(found.condition, 3)
    ([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 1.0)

    Reference: Golub and Kahan 1965, section 4; Meyer et al. 2021 (arXiv 2010.09649), for the
    trace; Pennington et al. 2017 (arXiv 1711.04735), on dynamical isometry.
    """
    if products < PROBES + 4:
        raise ValueError(f"products={products} are too few; give at least {PROBES + 4}")
    traced = traced_with(model, values, inputs, call_kwargs)
    part = between(traced, values, with_named(inputs, call_kwargs)[0], start, end)
    if min(part.inputs, part.outputs) <= exact_limit:
        return exact_spectrum(part)
    return lanczos_spectrum(part, count, products, jax.random.key(0) if key is None else key)


def exact_spectrum(part: Between) -> Spectrum:
    """All singular values, from the Jacobian written out."""
    singular_values = jax.jit(lambda held: jnp.linalg.svd(_matrix(part, held), compute_uv=False))
    sigma = np.asarray(singular_values(part.held)).astype(np.float64)
    return Spectrum(
        sigma,
        np.full(sigma.shape, rounding_error(sigma)),
        float(np.mean(sigma**2)),
        0.0,
        float(sigma[0] / sigma[-1]) if sigma[-1] > 0 else math.inf,
        "exact",
        (part.outputs, part.inputs),
        min(part.inputs, part.outputs),
    )


def rounding_error(sigma: np.ndarray) -> float:
    """What float32 arithmetic adds to the error of every singular value."""
    return float(np.finfo(np.float32).eps * sigma[0] * math.sqrt(sigma.size))


def _matrix(part: Between, held: PyTree) -> jax.Array:
    forward, backward = _products(part, held)
    small = min(part.inputs, part.outputs)
    product = forward if part.inputs <= part.outputs else backward
    return jax.lax.map(product, jnp.eye(small), batch_size=min(small, 32))


def _products(part: Between, held: PyTree) -> tuple[Product, Product]:
    """v -> J v and u -> J^T u, from one linearization."""
    zero = jnp.zeros(part.inputs)
    _, forward = jax.linearize(functools.partial(part.function, held), zero)
    transpose = jax.linear_transpose(forward, zero)
    return forward, lambda u: transpose(u)[0]


def lanczos_spectrum(part: Between, count: int, products: int, key: jax.Array) -> Spectrum:
    """The largest singular values, and an estimate of the mean square of all."""
    steps = (products - PROBES) // 2
    lanczos = jax.jit(lambda held, key: _lanczos(part, held, steps, key))
    diagonal, above, squares = map(np.asarray, lanczos(part.held, key))
    small = np.diag(diagonal) + np.diag(above[:-1], 1)
    left, sigma, _ = np.linalg.svd(small.astype(np.float64))
    total = np.sum(sigma**2) + squares.mean()
    size = min(part.inputs, part.outputs)
    count = min(count, steps)
    return Spectrum(
        sigma[:count],
        above[-1] * np.abs(left[-1, :count]) + rounding_error(sigma),
        float(total / size),
        float(squares.std(ddof=1) / math.sqrt(squares.size) / size),
        float(sigma[0] / sigma[-1]) if sigma[-1] > 0 else math.inf,
        "lanczos",
        (part.outputs, part.inputs),
        2 * steps + PROBES,
    )


def _lanczos(
    part: Between, held: PyTree, steps: int, key: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Diagonal and superdiagonal of B, the last entry being beta; and |J (I - V V^T) z|^2."""
    forward, backward = _products(part, held)
    start_key, probe_key = jax.random.split(key)

    def step(state: tuple, index: jax.Array) -> tuple[tuple, tuple]:
        lefts, rights, v, u, beta = state
        rights = rights.at[index].set(v)
        u, alpha = _unit(_orthogonal_to(lefts, forward(v) - beta * u))
        lefts = lefts.at[index].set(u)
        v, beta = _unit(_orthogonal_to(rights, backward(u) - alpha * v))
        return (lefts, rights, v, u, beta), (alpha, beta)

    v, _ = _unit(jax.random.normal(start_key, (part.inputs,)))
    lefts, rights = jnp.zeros((steps, part.outputs)), jnp.zeros((steps, part.inputs))
    first = (lefts, rights, v, jnp.zeros(part.outputs), jnp.float32(0.0))
    (_, rights, *_), (alphas, betas) = jax.lax.scan(step, first, jnp.arange(steps))

    def probe(key: jax.Array) -> jax.Array:
        z = _orthogonal_to(rights, jax.random.normal(key, (part.inputs,)))
        return jnp.sum(forward(z) ** 2)

    return alphas, betas, jax.lax.map(probe, jax.random.split(probe_key, PROBES))


def _orthogonal_to(basis: jax.Array, x: jax.Array) -> jax.Array:
    """x less its part in the span of orthonormal rows, twice, as once leaves rounding errors."""
    for _ in range(2):
        x = x - basis.T @ (basis @ x)
    return x


def _unit(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    norm = jnp.linalg.norm(x)
    return x / jnp.where(norm > 0, norm, 1.0), norm
