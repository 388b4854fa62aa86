"""Members of an ensemble are a group axis, however their outputs are cut out and combined."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from gallery.entry import GALLERY, Entry, entry, shape, shapes
from jax.nn import relu

MEMBERS = 3
X = shape(4, 5)
EXPECTED = {"a": "stem gio >relu", "b": "hidden gio >relu", "c": "head gio", "?_bias": "bias"}


def _sizes(members, last=(8, 1)):
    return {
        "a": (members, 5, 8),
        "a_bias": (members, 8),
        "b": (members, 8, 8),
        "b_bias": (members, 8),
        "c": (members, *last),
    }


def _hidden(params, x):
    x = relu(x @ params["a"] + params["a_bias"])
    return relu(x @ params["b"] + params["b_bias"])


def _critic(params, x):
    return _hidden(params, x) @ params["c"]


# How the outputs of the members leave the function.
OUTPUTS = {
    "squeezed": jax.vmap(lambda p, x: _critic(p, x).squeeze(-1), (0, None)),
    "dropped": jax.vmap(lambda p, x: _critic(p, x)[..., 0], (0, None)),
    "of_the_smallest": lambda p, x: jax.vmap(_critic, (0, None))(p, x)[..., 0].min(0),
    "members_last": jax.vmap(lambda p, x: _critic(p, x)[:, 0], (0, None), 1),
    "averaged_and_squeezed": lambda p, x: jax.vmap(_critic, (0, None))(p, x).mean(0).squeeze(-1),
    "example_by_example": lambda p, x: jax.vmap(
        lambda one: jax.vmap(lambda q: _critic(q, one)[0])(p)
    )(x),
    "inputs_of_their_own": lambda p, x: jax.vmap(_critic)(
        p, jnp.broadcast_to(x, (MEMBERS, *x.shape))
    )[..., 0],
    "of_mean_and_spread": lambda p, x: (
        jax.vmap(_critic, (0, None))(p, x).mean(0),
        jax.vmap(_critic, (0, None))(p, x).var(0),
    ),
}
for name, apply in OUTPUTS.items():
    GALLERY[f"ensemble_outputs_{name}"] = lambda apply=apply: Entry(
        apply, (shapes(_sizes(MEMBERS)), X), EXPECTED, 0
    )


@entry
def ensemble_whose_last_kernel_is_a_vector():
    """Without an axis of outputs, each member's last kernel is a vector."""

    def member(params, x):
        return _hidden(params, x) @ params["c"]

    expected = EXPECTED | {"c": "head gi"}
    params = shapes(_sizes(MEMBERS, (8,)))
    return Entry(jax.vmap(member, (0, None)), (params, X), expected, 0)


@entry
def ensemble_of_one_member():
    def apply(params, x):
        return jax.vmap(_critic, (0, None))(params, x).squeeze(0)

    return Entry(apply, (shapes(_sizes(1)), X), EXPECTED, 0)


@entry
def ensemble_of_one_member_squeezed():
    apply = jax.vmap(lambda p, x: _critic(p, x).squeeze(-1), (0, None))
    return Entry(apply, (shapes(_sizes(1)), X), EXPECTED, 0)


@entry
def ensemble_by_einsum():
    def apply(params, x):
        x = relu(jnp.einsum("bi,mio->mbo", x, params["a"]) + params["a_bias"][:, None])
        x = relu(jnp.einsum("mbi,mio->mbo", x, params["b"]) + params["b_bias"][:, None])
        return jnp.einsum("mbi,mio->bm", x, params["c"])

    return Entry(apply, (shapes(_sizes(MEMBERS)), X), EXPECTED, 0)


@entry
def ensemble_by_broadcast_products():
    """The spelling x[None] @ w[members]: a batched product over an axis of size one."""

    def apply(params, x):
        x = relu(x[None] @ params["a"] + params["a_bias"][:, None])
        x = relu(x @ params["b"] + params["b_bias"][:, None])
        return (x @ params["c"]).squeeze(-1)

    return Entry(apply, (shapes(_sizes(MEMBERS)), X), EXPECTED, 0)


@entry
def ensemble_of_critics_of_two_inputs():
    """Two critics of one state and action (TD3): concatenated inputs, the smaller value counts."""

    def apply(params, state, action):
        both = jnp.concatenate([state, action], -1)
        return jax.vmap(_critic, (0, None))(params, both).squeeze(-1).min(axis=0)

    return Entry(apply, (shapes(_sizes(2)), shape(4, 3), shape(4, 2)), EXPECTED, 0)


BATCH_ENSEMBLE = {"in": (5, 6), "w": (6, 8), "r": (MEMBERS, 6), "s": (MEMBERS, 8)}
BATCH_ENSEMBLE |= {"bias": (MEMBERS, 8), "out": (8, 2)}
BATCH_ENSEMBLE_EXPECTED = {
    "in": "stem io",
    "w": "hidden io >relu",
    "[rs]": "multiplier",
    "bias": "bias",
    "out": "head io",
}


def _members_first(p, x):
    y = ((x[None] * p["r"][:, None]) @ p["w"]) * p["s"][:, None] + p["bias"][:, None]
    return relu(y)


def _repeated(p, x):
    """Members folded into the batch, each vector repeated for its examples."""
    r, s, bias = (jnp.repeat(p[name], x.shape[0], axis=0) for name in ("r", "s", "bias"))
    return relu((jnp.tile(x, (MEMBERS, 1)) * r) @ p["w"] * s + bias)


def _vectors_mapped(p, x):
    def member(r, s, bias):
        return relu((x * r) @ p["w"] * s + bias)

    return jax.vmap(member)(p["r"], p["s"], p["bias"])


def _in_one_einsum(p, x):
    y = jnp.einsum("bi,mi,io,mo->mbo", x, p["r"], p["w"], p["s"])
    return relu(y + p["bias"][:, None])


def _kernels_first(p, x):
    """The members' kernels are made before any data: r and s meet w first."""
    kernels = p["w"] * p["r"][:, :, None] * p["s"][:, None, :]
    return relu(jnp.einsum("bi,mio->mbo", x, kernels) + p["bias"][:, None])


def _batch_ensemble(layer):
    """Wen et al. 2020 (BatchEnsemble): members share a kernel, two vectors each are their own."""
    expected = BATCH_ENSEMBLE_EXPECTED
    if layer is _kernels_first:
        expected = expected | {"[rs]": "kernel_scale"}
    apply = lambda p, x: layer(p, x @ p["in"]) @ p["out"]  # noqa: E731 it is one expression
    return Entry(apply, (shapes(BATCH_ENSEMBLE), X), expected, 0)


for layer in (_members_first, _repeated, _vectors_mapped, _in_one_einsum, _kernels_first):
    GALLERY[f"batch_ensemble{layer.__name__}"] = lambda layer=layer: _batch_ensemble(layer)


class LinenCritic(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(8, name="a")(x))
        return nn.Dense(1, name="c")(x).squeeze(-1)


class LinenCritics(nn.Module):
    @nn.compact
    def __call__(self, x):
        critics = nn.vmap(
            LinenCritic,
            in_axes=None,
            out_axes=0,
            axis_size=2,
            variable_axes={"params": 0},
            split_rngs={"params": True},
        )
        return critics(name="critics")(x)


@entry
def linen_ensemble_of_critics():
    expected = {"*/a/kernel": "stem gio >relu", "*/c/kernel": "head gio", "*/bias": "bias"}
    return Entry(LinenCritics(), (X,), expected, 0)


class NNXMember(nnx.Module):
    def __init__(self, rngs):
        self.a = nnx.Linear(5, 8, rngs=rngs)
        self.c = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        return self.c(nnx.relu(self.a(x)))[..., 0]


class NNXEnsemble(nnx.Module):
    def __init__(self, rngs):
        make = nnx.split_rngs(splits=MEMBERS)(nnx.vmap(NNXMember, in_axes=(0,), out_axes=0))
        self.members = make(rngs)

    def __call__(self, x):
        run = nnx.vmap(lambda member, x: member(x), in_axes=(0, None), out_axes=0)
        return run(self.members, x).mean(0)


@entry
def nnx_ensemble():
    expected = {"*/a/kernel": "stem gio >relu", "*/c/kernel": "head gio", "*/bias": "bias"}
    return Entry(nnx.eval_shape(lambda: NNXEnsemble(nnx.Rngs(0))), (X,), expected, 0)


class EquinoxEnsemble(eqx.Module):
    members: eqx.nn.MLP

    def __call__(self, x):
        arrays = eqx.if_array(0)
        return eqx.filter_vmap(lambda one, x: one(x), in_axes=(arrays, None))(self.members, x)


@entry
def equinox_ensemble():
    """Members made by `filter_vmap`, each with one scalar output."""

    def make():
        keys = jax.random.split(jax.random.key(0), MEMBERS)
        member = lambda key: eqx.nn.MLP(5, "scalar", 8, 1, key=key)  # noqa: E731
        return EquinoxEnsemble(eqx.filter_vmap(member)(keys))

    expected = {
        "members/layers/0/weight": "stem goi >relu",
        "members/layers/1/weight": "head goi",
        "*/bias": "bias",
    }
    return Entry(eqx.filter_eval_shape(make), (shape(5),), expected, 0)
