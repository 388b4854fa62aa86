"""Kernels that the data choose or modulate, tables that are only looked up, fused projections."""

import jax
import jax.numpy as jnp
from gallery.entry import GALLERY, Entry, entry, shape, shapes

X = shape(7, 5)
EXPERT = {"router": (8, 4), "up": (4, 8, 12), "bias": (4, 12), "down": (4, 12, 8)}
EXPERTS = {
    "w_in": "stem io",
    "*/router": "router io",
    "*/up": "hidden gio >gelu",
    "*/bias": "bias",
    "*/down": "tail gio >",
    "w_out": "head io",
}


def _by_gather(params, x, weights, chosen):
    y = jnp.einsum("nd,nkdf->nkf", x, params["up"][chosen]) + params["bias"][chosen]
    y = jnp.einsum("nkf,nkfd->nkd", jax.nn.gelu(y), params["down"][chosen])
    return jnp.einsum("nk,nkd->nd", weights, y)


def _by_take(params, x, weights, chosen):
    up, bias, down = (jnp.take(params[name], chosen, axis=0) for name in ("up", "bias", "down"))
    y = jax.nn.gelu(jnp.einsum("nd,nkdf->nkf", x, up) + bias)
    return (weights[..., None] * jnp.einsum("nkf,nkfd->nkd", y, down)).sum(1)


def _one_by_one(params, x, weights, chosen):
    def expert(x, index):
        hidden = jax.nn.gelu(x @ params["up"][index] + params["bias"][index])
        return hidden @ params["down"][index]

    over_experts = jax.vmap(expert, (None, 0))
    return jax.vmap(lambda x, w, index: w @ over_experts(x, index))(x, weights, chosen)


def _by_scan(params, x, weights, chosen):
    def token(_, each):
        x, weights, chosen = each
        up, bias, down = (
            jax.lax.dynamic_index_in_dim(params[name], chosen[0], keepdims=False)
            for name in ("up", "bias", "down")
        )
        return None, weights[0] * (jax.nn.gelu(x @ up + bias) @ down)

    return jax.lax.scan(token, None, (x, weights, chosen))[1]


def _experts(run):
    def apply(params, x):
        x = x @ params["w_in"]
        for index in range(2):
            layer = params[f"layer_{index}"]
            weights, chosen = jax.lax.top_k(jax.nn.softmax(x @ layer["router"]), 2)
            x = x + run(layer, x, weights, chosen)
        return x @ params["w_out"]

    params = {"w_in": (5, 8), "layer_0": EXPERT, "layer_1": EXPERT, "w_out": (8, 3)}
    return lambda: Entry(apply, (shapes(params), X), EXPERTS, 2)


for run in (_by_gather, _by_take, _one_by_one, _by_scan):
    GALLERY[f"experts{run.__name__}"] = _experts(run)


@entry
def experts_by_dispatch_masks():
    """Mixtral with capacities: the weights that combine experts are gates, through masks too."""

    def experts(params, x):
        probabilities = jax.nn.softmax(x @ params["router"])
        kept, chosen = jax.lax.top_k(probabilities, 2)
        one_hot = jax.nn.one_hot(chosen, 4)
        place = jnp.cumsum(one_hot.reshape(-1, 4), 0).reshape(one_hot.shape) * one_hot - 1
        slots = jax.nn.one_hot(place.astype(int), 3)
        combine = jnp.einsum("nk,nke,nkec->nec", kept / kept.sum(-1, keepdims=True), one_hot, slots)
        dispatch = jnp.einsum("nke,nkec->nec", one_hot, slots)
        y = jnp.einsum("nec,nd->ecd", dispatch, x)
        y = jax.nn.gelu(jnp.einsum("ecd,edf->ecf", y, params["up"]) + params["bias"][:, None])
        return jnp.einsum("nec,ecf,efd->nd", combine, y, params["down"])

    def apply(params, x):
        x = x @ params["w_in"]
        return (x + experts(params["layer_0"], x)) @ params["w_out"]

    params = {"w_in": (5, 8), "layer_0": EXPERT, "w_out": (8, 3)}
    return Entry(apply, (shapes(params), X), EXPERTS, 1)


@entry
def stem_and_head_of_a_task():
    def apply(params, x, task):
        numbers = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(
            x, params["stems"][task], (1, 1), "SAME", dimension_numbers=numbers
        )
        return jax.nn.relu(x).mean((1, 2)) @ params["heads"][task]

    params = {"stems": (3, 3, 3, 2, 8), "heads": (3, 8, 4)}
    inputs = (shapes(params), shape(2, 6, 6, 2), shape(dtype="int32"))
    return Entry(apply, inputs, {"stems": "stem g..io >relu", "heads": "head gio"}, 0)


@entry
def relations_between_entities():
    """RESCAL: entities are embeddings, a relation is a matrix between them."""

    def apply(params, first, relation, second):
        first, second = params["entities"][first], params["entities"][second]
        return jnp.einsum("bi,bij,bj->b", first, params["relations"][relation], second)

    indices = (shape(3, dtype="int32"),) * 3
    params = {"entities": (9, 4), "relations": (5, 4, 4)}
    expected = {"entities": "embedding io", "relations": "head gio"}
    return Entry(apply, (shapes(params), *indices), expected, 0)


@entry
def product_key_memory():
    """Lample et al. 2019: keys are a kernel, the values that they find an embedding."""

    def apply(params, x):
        x = x @ params["w_in"]
        scores, found = jax.lax.top_k((x @ params["query"]) @ params["keys"].T, 3)
        y = jnp.einsum("nk,nkd->nd", jax.nn.softmax(scores), params["values"][found])
        return (x + y) @ params["w_out"]

    params = {"w_in": (5, 8), "query": (8, 6), "keys": (10, 6), "values": (10, 8), "w_out": (8, 3)}
    expected = {
        "w_in": "stem io",
        "query": "hidden io",
        "keys": "hidden oi",
        "values": "embedding io",
        "w_out": "head io",
    }
    return Entry(apply, (shapes(params), X), expected, 1)


@entry
def modulated_convolution():
    """Karras et al. 2020 (StyleGAN 2): a style scales each example's kernel; demodulation."""

    def convolve(params, x, style):
        kernel = params["kernel"][None] * (style @ params["style"])[:, None, None, :, None]
        kernel = kernel * jax.lax.rsqrt(jnp.sum(kernel**2, (1, 2, 3), keepdims=True) + 1e-8)
        numbers = ("NHWC", "HWIO", "NHWC")

        def one(x, kernel):
            return jax.lax.conv_general_dilated(
                x[None], kernel, (1, 1), "SAME", dimension_numbers=numbers
            )[0]

        return jax.vmap(one)(x, kernel)

    def apply(params, latent):
        style = jax.nn.relu(latent @ params["mapping"])
        x = jnp.broadcast_to(params["start"], (latent.shape[0], *params["start"].shape))
        x = jax.nn.relu(convolve(params["layer"], x, style) + params["bias"])
        return convolve(params["to_rgb"], x, style)

    params = {
        "mapping": (4, 6),
        "start": (4, 4, 5),
        "layer": {"kernel": (3, 3, 5, 7), "style": (6, 5)},
        "bias": (7,),
        "to_rgb": {"kernel": (1, 1, 7, 3), "style": (6, 7)},
    }
    expected = {
        "mapping": "stem io >relu",
        "*/style": "hidden io",
        "start": "class_token",
        "layer/kernel": "hidden ..io >relu",
        "bias": "bias",
        "to_rgb/kernel": "head ..io",
    }
    return Entry(apply, (shapes(params), shape(2, 4)), expected, 0)


@entry
def contraction_written_as_a_sum_of_products():
    def apply(params, x):
        x = jnp.tanh((x[:, :, None] * params["w"]).sum(1))
        return (x * params["a"]).sum(-1)

    return Entry(
        apply, (shapes({"w": (5, 6), "a": (6,)}), X), {"w": "stem io >tanh", "a": "head i"}, 0
    )


@entry
def ensemble_of_critics():
    """Mapped over kernels and biases: a bias varies from member to member as its kernel does."""

    def critic(params, x):
        x = jax.nn.relu(x @ params["a"] + params["a_bias"])
        return jax.nn.relu(x @ params["b"] + params["b_bias"]) @ params["c"]

    params = {"a": (2, 5, 8), "a_bias": (2, 8), "b": (2, 8, 8), "b_bias": (2, 8), "c": (2, 8, 1)}
    expected = {
        "a": "stem gio >relu",
        "b": "hidden gio >relu",
        "c": "head gio",
        "?_bias": "bias",
    }
    return Entry(jax.vmap(critic, (0, None)), (shapes(params), X), expected, 0)


WIDTH, HEADS, DEPTH = 10, 2, 5
# How query, key and value come out of x (batch, time, width) and one stored kernel.
FUSED = {
    "split_in_three": ("io", lambda x, w: jnp.split(x @ w, 3, axis=-1)),
    "three_heads_depth": ("io", lambda x, w: jnp.moveaxis(_parts(x @ w, 3, HEADS, DEPTH), 2, 0)),
    "heads_three_depth": ("io", lambda x, w: jnp.moveaxis(_parts(x @ w, HEADS, 3, DEPTH), 3, 0)),
    "split_in_each_head": ("io", lambda x, w: jnp.split(_parts(x @ w, HEADS, 3 * DEPTH), 3, -1)),
    "stored_three_heads_depth": ("iooo", lambda x, w: jnp.einsum("btw,wchd->cbthd", x, w)),
    "stored_heads_three_depth": ("iooo", lambda x, w: jnp.einsum("btw,whcd->cbthd", x, w)),
    "stored_in_rows": ("oi", lambda x, w: jnp.split(x @ w.T, 3, axis=-1)),
    "mapped": ("oio", lambda x, w: jax.vmap(lambda one: x @ one)(w)),
}
STORED = {
    "stored_three_heads_depth": (WIDTH, 3, HEADS, DEPTH),
    "stored_heads_three_depth": (WIDTH, HEADS, 3, DEPTH),
    "stored_in_rows": (3 * WIDTH, WIDTH),
    "mapped": (3, WIDTH, WIDTH),
}


def _parts(x, *sizes):
    return x.reshape(*x.shape[:-1], *sizes)


def _fused(name):
    letters, project = FUSED[name]

    def apply(params, x):
        x = x @ params["w_in"]
        q, k, v = (part.reshape(2, 7, HEADS, DEPTH) for part in project(x, params["qkv"]))
        weights = jax.nn.softmax(jnp.einsum("bthd,bshd->bhts", q, k) * DEPTH**-0.5)
        y = jnp.einsum("bhts,bshd->bthd", weights, v).reshape(x.shape)
        return (x + y @ params["out"]) @ params["w_out"]

    params = {"w_in": (4, WIDTH), "qkv": STORED.get(name, (WIDTH, 3 * WIDTH))}
    params |= {"out": (WIDTH, WIDTH), "w_out": (WIDTH, 3)}
    expected = {
        "w_in": "stem io",
        "qkv": f"hidden {letters} @query,key,value >",
        "out": "tail io @output",
        "w_out": "head io",
    }
    return Entry(apply, (shapes(params), shape(2, 7, 4)), expected, 1)


for name in FUSED:
    GALLERY[f"fused_{name}"] = lambda name=name: _fused(name)


@entry
def ensemble_averaged():
    """Members that read one input, of which the mean is put out; heads, in contrast, are summed."""

    def member(params, x):
        return jax.nn.tanh(jax.nn.relu(x @ params["a"]) @ params["b"]) @ params["c"]

    def apply(params, x):
        members = jax.vmap(member, (0, None))(params["members"], x)
        heads = jnp.einsum("bi,ihd->bhd", x, params["heads"])
        heads = jnp.einsum("bhd,hde->bhe", heads, params["each"])
        return members.mean(0) + jnp.einsum("bhe,heo->bo", heads, params["joined"])

    members = {"a": (3, 5, 8), "b": (3, 8, 8), "c": (3, 8, 2)}
    heads = {"heads": (5, 4, 6), "each": (4, 6, 6), "joined": (4, 6, 2)}
    expected = {
        "members/a": "stem gio >relu",
        "members/b": "hidden gio >tanh",
        "members/c": "head gio",
        "heads": "stem ioo",
        "each": "hidden gio",
        "joined": "head iio",
    }
    return Entry(apply, (shapes({"members": members, **heads}), X), expected, 0)


@entry
def experts_by_one_hot_rows():
    """Rows that the largest probabilities pick are dispatched by zeros and ones: no attention."""
    count = 3

    def apply(params, x):
        x = x @ params["in"]
        weights, chosen = jax.lax.top_k(jax.nn.softmax(x @ params["router"]), 2)
        mask = jnp.swapaxes(jax.nn.one_hot(chosen, count), -1, -2)
        inputs = jnp.einsum("bid,bek->bed", x[:, None], mask)
        hidden = jax.nn.silu(jnp.einsum("bed,edf->bef", inputs, params["up"]))
        outputs = jnp.einsum("bef,efd->bed", hidden, params["down"])
        return (x + jnp.einsum("bed,bek->bd", outputs, mask * weights[:, None])) @ params["out"]

    params = {"in": (5, 8), "router": (8, count), "out": (8, 2)}
    params |= {"up": (count, 8, 6), "down": (count, 6, 8)}
    expected = {
        "in": "stem io",
        "router": "router io @",
        "up": "hidden gio @ >silu",
        "down": "tail gio @",
        "out": "head io",
    }
    return Entry(apply, (shapes(params), X), expected, 1)


@entry
def numbers_looked_up():
    """A number looked up by index is a multiplier where it multiplies, a bias where it is added."""

    def apply(params, users, items):
        pairs = params["user"][users] * params["item"][items]
        offset = params["user_offset"][users] + params["item_offset"][items][..., 0]
        return pairs.sum(-1) * params["temper"][users] + offset

    sizes = {"user": (7, 4), "item": (9, 4), "temper": (7,)}
    params = sizes | {"user_offset": (7,), "item_offset": (9, 1)}
    expected = {
        "user": "embedding io",
        "item": "embedding io",
        "temper": "multiplier",
        "*_offset": "bias",
    }
    index = shape(3, dtype="int32")
    return Entry(apply, (shapes(params), index, index), expected, 0)
