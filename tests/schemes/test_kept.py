"""What every scheme leaves alone, and how routers start."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from idinit_jax.schemes import Scheme, explain, get_scheme, initialize, schemes

KEY = jax.random.key(5)
WIDTH, CENTRES, EXPERTS = 16, 6, 4
X = jax.random.normal(jax.random.key(6), (12, 3))


def radial(params: dict, x: jax.Array) -> jax.Array:
    """Distances in radial bases, positions from a fixed table, a kernel under a softplus."""
    distances = jnp.linalg.norm(x[:, None] - x[None], axis=-1)
    apart = distances[..., None] - params["centres"][None, None]
    basis = jnp.exp(-params["widths"][None, None] * apart**2)
    waves = jnp.sin(x @ jax.lax.stop_gradient(params["frequencies"]))
    y = basis.sum(1) @ params["stem"] + waves + jax.lax.stop_gradient(params["table"])[None]
    y = y + jax.nn.relu(y @ jax.nn.softplus(params["positive"])) @ params["tail"]
    return y @ params["head"]


SHAPES = {
    "centres": (CENTRES,),
    "widths": (CENTRES,),
    "frequencies": (3, WIDTH),
    "table": (WIDTH,),
    "stem": (CENTRES, WIDTH),
    "positive": (WIDTH, WIDTH),
    "tail": (WIDTH, WIDTH),
    "head": (WIDTH, 2),
}
PARAMS = {
    name: 1.0 + jax.random.uniform(jax.random.key(index), shape)
    for index, (name, shape) in enumerate(SHAPES.items())
}
KEPT = {
    "centres": "the signal along an axis of its own",
    "widths": "scales what no kernel produced",
    "frequencies": "no gradient reaches it",
    "table": "no gradient reaches it",
    "positive": "not linear",
}


def any_model(name: str) -> Scheme:
    """A scheme without the check of what a model has at the ends of its branches."""
    return dataclasses.replace(get_scheme(name), check=None)


@pytest.mark.parametrize("name", schemes())
def test_every_scheme_keeps_what_no_rule_is_made_for(name: str) -> None:
    scheme = any_model(name)
    values = initialize(radial, KEY, PARAMS, X, scheme=scheme, overwrite=True)
    table = explain(radial, PARAMS, X, scheme=scheme)
    for path, reason in KEPT.items():
        np.testing.assert_array_equal(values[path], PARAMS[path])
        assert reason in table[path].reason
        assert "own start" in table[path].reason
    for path in SHAPES.keys() - KEPT.keys():
        assert (values[path] != PARAMS[path]).any() == (name != "framework")


def test_what_is_kept_can_be_overridden() -> None:
    zeros = dict.fromkeys(KEPT, jax.nn.initializers.zeros)
    values = initialize(radial, KEY, PARAMS, X, overrides=zeros, overwrite=True)
    assert not any(values[path].any() for path in KEPT)


def mixture(params: dict, x: jax.Array) -> jax.Array:
    x = x @ params["stem"]
    weights = jax.nn.softmax(x @ params["router"])
    hidden = jax.nn.relu(jnp.einsum("td,edf->tef", x, params["up"]))
    outputs = jnp.einsum("tef,efd->ted", hidden, params["down"])
    return (x + jnp.einsum("te,ted->td", weights, outputs)) @ params["head"]


LARGE = 64
EXPERT_SHAPES = {
    "stem": (3, LARGE),
    "router": (LARGE, LARGE),
    "up": (LARGE, LARGE, 8),
    "down": (LARGE, 8, LARGE),
    "head": (LARGE, 2),
}
EXPERT_PARAMS = {name: jnp.zeros(shape) for name, shape in EXPERT_SHAPES.items()}


@pytest.mark.parametrize(
    "name", sorted(set(schemes()) - {"framework", "zero_hadamard", "delta_orthogonal"})
)
def test_logits_of_a_router_have_the_variance_of_what_it_reads(name: str) -> None:
    """And none of them is a single feature, as under an identity."""
    router = initialize(mixture, KEY, EXPERT_PARAMS, X, scheme=any_model(name))["router"]
    np.testing.assert_allclose((router**2).sum(0).mean(), 1.0, rtol=0.1)
    assert jnp.abs(router).max() < 0.7
