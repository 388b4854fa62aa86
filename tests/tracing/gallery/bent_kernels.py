"""Weights that are functions of parameters: linear in them, or bent."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from gallery.entry import GALLERY, Entry, entry, shape, shapes

X = shape(4, 6)
SQUARE = (6, 6)


def _straight_through(w):
    """Courbariaux et al. 2015 (BinaryConnect), as a sum that stops the gradient."""
    return w + jax.lax.stop_gradient(jnp.sign(w) - w)


@jax.custom_vjp
def _binary(w):
    return jnp.where(w >= 0, 1.0, -1.0)


_binary.defvjp(lambda w: (_binary(w), None), lambda _, g: (g,))


@jax.custom_jvp
def _rounded(w):
    return jnp.round(8 * w) / 8


_rounded.defjvp(lambda w, t: (_rounded(w[0]), t[0]))


def _skew(w):
    return w - w.T


def _cayley(w):
    return jnp.linalg.solve(jnp.eye(6) + _skew(w), jnp.eye(6) - _skew(w))


def _newton_schulz(w):
    """Steps towards the nearest orthogonal matrix, as in orthogonal networks."""
    w = w / jnp.sqrt(jnp.sum(w**2) + 1e-6)
    for _ in range(2):
        w = 1.5 * w - 0.5 * w @ w.T @ w
    return w


# Of a square parameter, a weight that is no linear function of it.
BENT = {
    "exponential": jnp.exp,
    "softplus": jax.nn.softplus,
    "magnitude": jnp.abs,
    "square": lambda w: w**2,
    "product_with_its_magnitude": lambda w: w * jnp.abs(w),
    "positive_part": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": lambda w: 0.5 * jnp.tanh(w),
    "exponential_of_a_masked_logit": lambda w: jnp.exp(w) * np.tri(6, dtype=np.float32),
    "softmax_of_columns": lambda w: jax.nn.softmax(w, axis=0),
    "softmax_of_rows": lambda w: jax.nn.softmax(w, axis=1),
    "threshold": lambda w: jnp.sign(w) * jnp.maximum(jnp.abs(w) - 0.1, 0),
    "bounds": lambda w: jnp.clip(w, -1, 1),
    "signs_straight_through": _straight_through,
    "signs_with_a_derivative_of_their_own": _binary,
    "rounding_with_a_derivative_of_its_own": _rounded,
    "matrix_exponential": jax.scipy.linalg.expm,
    "matrix_exponential_of_a_skew_part": lambda w: jax.scipy.linalg.expm(_skew(w)),
    "orthogonal_factor": lambda w: jnp.linalg.qr(w)[0],
    "cayley_transform": _cayley,
    "inverse": jnp.linalg.inv,
    "newton_schulz_iteration": _newton_schulz,
}
# A weight that is a linear function of it.
LINEAR = {
    "itself": lambda w: w,
    "multiple": lambda w: w / 6**0.5,
    "masked_part": lambda w: w * np.tri(6, dtype=np.float32),
    "triangle": jnp.triu,
    "selected_part": lambda w: jnp.where(np.tri(6) > 0, w, 0),
    "sum_with_the_identity": lambda w: w + jnp.eye(6),
    "lesser_of_it_and_infinity": lambda w: jnp.minimum(w, jnp.inf),
    "bounds_at_infinity": lambda w: jnp.clip(w, -jnp.inf, jnp.inf),
}


def _of_weight(weight, expected):
    apply = lambda p, x: jax.nn.relu(x @ weight(p["w"])) @ p["v"]  # noqa: E731
    params = shapes({"w": SQUARE, "v": (6, 3)})
    return Entry(apply, (params, X), {"w": expected, "v": "head io >"}, 0)


for name, weight in BENT.items():
    GALLERY[f"kernel_by_{name}"] = lambda weight=weight: _of_weight(weight, "stem io bent >relu")
for name, weight in LINEAR.items():
    GALLERY[f"kernel_by_{name}"] = lambda weight=weight: _of_weight(weight, "stem io >relu")


@entry
def kernel_bent_and_scaled():
    """A softplus of the parameter, times a learned size a column."""

    def apply(params, x):
        return jnp.tanh(x @ (jax.nn.softplus(params["w"]) * params["g"])) @ params["v"]

    params = shapes({"w": (6, 5), "g": (5,), "v": (5, 3)})
    expected = {"w": "stem io bent >tanh", "g": "kernel_scale", "v": "head io"}
    return Entry(apply, (params, X), expected, 0)


@entry
def kernel_bent_in_a_convolution():
    def apply(params, x):
        numbers = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(
            x, jnp.exp(params["w"]), (1, 1), "SAME", dimension_numbers=numbers
        )
        return jax.nn.relu(y).mean((1, 2)) @ params["v"]

    params = shapes({"w": (3, 3, 2, 5), "v": (5, 3)})
    expected = {"w": "stem ..io bent >relu", "v": "head io"}
    return Entry(apply, (params, shape(2, 8, 8, 2)), expected, 0)


@entry
def kernel_bent_in_a_scan():
    """Chang et al. 2019: layers of a stack, all skew-symmetric but for a bend."""

    def apply(params, x):
        step = lambda x, w: (x + jnp.tanh(x @ jnp.sinh(w)), None)  # noqa: E731
        return jax.lax.scan(step, x @ params["in"], params["w"])[0] @ params["out"]

    params = shapes({"in": SQUARE, "w": (3, 6, 6), "out": (6, 2)})
    expected = {"in": "stem io", "w": "tail sio bent >tanh", "out": "head io"}
    return Entry(apply, (params, X), expected, 3)


@entry
def convex_network_of_positive_kernels():
    """Amos et al. 2017: kernels from layer to layer are positive, the input enters every layer."""

    def apply(params, x):
        z = jax.nn.softplus(x @ params["x0"] + params["b0"])
        for index in (1, 2):
            direct = x @ params[f"x{index}"] + params[f"b{index}"]
            z = jax.nn.softplus(z @ jax.nn.softplus(params[f"z{index}"]) + direct)
        return z @ jnp.exp(params["out"])

    params = {f"x{index}": (6, 5) for index in range(3)} | {f"b{i}": (5,) for i in range(3)}
    params |= {"z1": (5, 5), "z2": (5, 5), "out": (5, 1)}
    expected = {
        "x0": "hidden io",
        "x?": "shortcut io",
        "b?": "bias",
        "z?": "tail io bent",
        "out": "head io bent",
    }
    return Entry(apply, (shapes(params), X), expected, 2)


@entry
def monotone_mixture_of_values():
    """Rashid et al. 2018 (QMIX): weights that a state gives are bent, kernels behind are not."""

    def apply(params, values, state):
        first = jnp.abs(state @ params["hyper_first"]).reshape(-1, 6, 5)
        hidden = jax.nn.elu(jnp.einsum("ba,bah->bh", values, first) + state @ params["shift"])
        last = jnp.abs(state @ params["hyper_last"])
        return (hidden * last).sum(-1) + jax.nn.relu(state @ params["v0"]) @ params["v1"]

    params = {"hyper_first": (4, 30), "shift": (4, 5), "hyper_last": (4, 5)}
    params |= {"v0": (4, 5), "v1": (5,)}
    expected = {
        "hyper_first": "head io",
        "shift": "head io",
        "hyper_last": "head io",
        "v0": "stem io >relu",
        "v1": "head i",
    }
    return Entry(apply, (shapes(params), X, shape(4, 4)), expected, 0)


# Products of parameters: linear in each, whatever their number.
PRODUCTS = {
    "two_factors": ({"a": (6, 2), "b": (2, 5)}, lambda p: p["a"] @ p["b"]),
    "three_factors": (
        {"a": (6, 2), "b": (2, 3), "c": (3, 5)},
        lambda p: jnp.linalg.multi_dot([p["a"], p["b"], p["c"]]),
    ),
    "bent_and_linear_factors": (
        {"a": (6, 2), "b": (2, 5)},
        lambda p: jnp.exp(p["a"]) @ p["b"],
    ),
}


def _product(name):
    sizes, weight = PRODUCTS[name]
    apply = lambda p, x: jax.nn.relu(x @ weight(p)) @ p["v"]  # noqa: E731
    expected = dict.fromkeys(sizes, "stem io >relu") | {"v": "head io"}
    if name == "bent_and_linear_factors":
        expected["a"] = "stem io bent >relu"
    return Entry(apply, (shapes(sizes | {"v": (5, 3)}), X), expected, 0)


for name in PRODUCTS:
    GALLERY[f"kernel_by_{name}"] = lambda name=name: _product(name)


@entry
def kernel_by_kronecker_factors():
    """Zhang et al. 2021 (parameterized hypercomplex layers): each factor has ins and outs."""

    def apply(params, x):
        return jax.nn.relu(x @ jnp.kron(params["a"], params["b"])) @ params["v"]

    params = shapes({"a": (2, 4), "b": (3, 2), "v": (8, 3)})
    expected = {"a": "stem io >relu", "b": "stem io >relu", "v": "head io"}
    return Entry(apply, (params, X), expected, 0)


@entry
def kernel_by_a_tensor_train():
    """Novikov et al. 2015: cores (rank, in, out, rank); a product of parameters, linear in each."""

    def apply(params, x):
        cores = (params["first"], params["second"], params["third"])
        kernel = jnp.einsum("iar,rjbs,skc->ijkabc", *cores).reshape(12, 8)
        return jax.nn.relu(x @ kernel) @ params["v"]

    params = {"first": (2, 2, 3), "second": (3, 3, 2, 3), "third": (3, 2, 2), "v": (8, 3)}
    expected = {
        "first": "stem ioo",
        "second": "stem iioo",
        "third": "stem iio",
        "v": "head io",
    }
    return Entry(apply, (shapes(params), shape(4, 12)), expected, 0)


@entry
def kernel_by_a_tucker_product():
    """Two factors around a core; the signal meets what they make."""

    def apply(params, x):
        kernel = jnp.einsum("ir,rs,os->io", params["left"], params["core"], params["right"])
        return jax.nn.relu(x @ kernel) @ params["v"]

    params = {"left": (6, 2), "core": (2, 3), "right": (5, 3), "v": (5, 3)}
    expected = {"left": "stem io", "core": "stem io", "right": "stem oi", "v": "head io"}
    return Entry(apply, (shapes(params), X), expected, 0)


class PositiveDense(nn.Module):
    """A dense layer whose kernel is a softplus of its parameter."""

    features: int

    @nn.compact
    def __call__(self, x):
        size = (x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), size)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return x @ nn.softplus(kernel) + bias


class Monotone(nn.Module):
    @nn.compact
    def __call__(self, x):
        return PositiveDense(1, name="last")(jnp.tanh(PositiveDense(8, name="first")(x)))


@entry
def linen_monotone_network():
    expected = {
        "first/kernel": "stem io bent >tanh",
        "last/kernel": "head io bent",
        "*/bias": "bias",
    }
    return Entry(Monotone(), (X,), expected, 0)
