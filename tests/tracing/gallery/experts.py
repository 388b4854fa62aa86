"""Mixtures of experts: a router's distribution chooses among kernels, it attends to nothing."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from gallery.entry import GALLERY, Entry, entry, shape, shapes
from jax.nn import gelu, one_hot, relu, softmax

TOKENS, WIDTH, HIDDEN, COUNT = 7, 8, 12, 4
X = shape(TOKENS, 5)
FRAME = {"in": (5, WIDTH), "out": (WIDTH, 3)}
EXPERTS = {"router": (WIDTH, COUNT), "up": (COUNT, WIDTH, HIDDEN), "down": (COUNT, HIDDEN, WIDTH)}
EXPECTED = {
    "in": "stem io @",
    "router": "router io @",
    "up": "hidden gio @ >gelu",
    "down": "tail gio @",
    "out": "head io @",
}


def _all(params, x):
    """Every expert on every token (token, expert, width)."""
    hidden = gelu(jnp.einsum("td,edf->tef", x, params["up"]))
    return jnp.einsum("tef,efd->ted", hidden, params["down"])


def _dense_by_einsum(params, x):
    weights = softmax(x @ params["router"])
    return jnp.einsum("te,ted->td", weights, _all(params, x))


def _dense_in_one_einsum(params, x):
    weights = softmax(x @ params["router"])
    hidden = gelu(jnp.einsum("td,edf->tef", x, params["up"]))
    return jnp.einsum("te,tef,efd->td", weights, hidden, params["down"])


def _dense_by_multiplying_and_summing(params, x):
    weights = softmax(x @ params["router"])
    return (weights[..., None] * _all(params, x)).sum(1)


def _dense_by_vmap(params, x):
    weights = softmax(x @ params["router"])
    outputs = jax.vmap(lambda up, down: gelu(x @ up) @ down)(params["up"], params["down"])
    return jnp.sum(weights.T[..., None] * outputs, axis=0)


def _dense_one_by_one(params, x):
    """A Python loop over experts that adds up what each gives."""
    weights = softmax(x @ params["router"])
    total = jnp.zeros_like(x)
    for index in range(COUNT):
        y = gelu(x @ params["up"][index]) @ params["down"][index]
        total = total + weights[:, index, None] * y
    return total


def _dense_by_scan(params, x):
    weights = softmax(x @ params["router"])

    def turn(total, expert):
        up, down, weight = expert
        return total + weight[:, None] * (gelu(x @ up) @ down), None

    experts = (params["up"], params["down"], weights.T)
    return jax.lax.scan(turn, jnp.zeros_like(x), experts)[0]


def _largest_by_gates(params, x):
    """Shazeer et al. 2017: all but the two largest logits are set to minus infinity."""
    logits = x @ params["router"]
    least = jax.lax.top_k(logits, 2)[0][:, -1:]
    weights = softmax(jnp.where(logits >= least, logits, -jnp.inf))
    return jnp.einsum("te,ted->td", weights, _all(params, x))


def _largest_by_one_hot(params, x):
    """Jiang et al. 2024 (Mixtral): a softmax over the two largest logits, in one-hot rows."""
    kept, chosen = jax.lax.top_k(x @ params["router"], 2)
    weights = jnp.einsum("tk,tke->te", softmax(kept), one_hot(chosen, COUNT))
    return jnp.einsum("te,ted->td", weights, _all(params, x))


def _largest_by_gather(params, x):
    kept, chosen = jax.lax.top_k(x @ params["router"], 2)
    hidden = gelu(jnp.einsum("td,tkdf->tkf", x, params["up"][chosen]))
    outputs = jnp.einsum("tkf,tkfd->tkd", hidden, params["down"][chosen])
    return (softmax(kept)[..., None] * outputs).sum(1)


def _largest_by_taking_outputs(params, x):
    """All experts are computed, the outputs of the chosen ones are taken."""
    weights, chosen = jax.lax.top_k(softmax(x @ params["router"]), 2)
    weights = weights / weights.sum(-1, keepdims=True)
    outputs = jnp.take_along_axis(_all(params, x), chosen[..., None], axis=1)
    return jnp.sum(outputs * weights[..., None], axis=1)


def _largest_by_sigmoids(params, x):
    """DeepSeek-V3: affinities are sigmoids, those kept are divided by their sum."""
    kept, chosen = jax.lax.top_k(jax.nn.sigmoid(x @ params["router"]), 2)
    weights = kept / (kept.sum(-1, keepdims=True) + 1e-9)
    gates = jnp.sum(one_hot(chosen, COUNT) * weights[..., None], 1)
    return jnp.einsum("te,ted->td", gates, _all(params, x))


def _slots(chosen, capacity):
    """Ones where a token takes a slot of an expert (token, expert, slot), within the capacity."""
    mask = one_hot(chosen, COUNT)
    place = (jnp.cumsum(mask, 0) - 1) * mask
    mask = mask * (place < capacity)
    return mask[..., None] * one_hot(place.sum(-1).astype(int), capacity)[:, None]


def _in_slots(params, inputs):
    hidden = gelu(jnp.einsum("ecd,edf->ecf", inputs, params["up"]))
    return jnp.einsum("ecf,efd->ecd", hidden, params["down"])


def _one_by_dispatch_and_combine(params, x):
    """Fedus et al. 2021 (Switch): dispatch and combine over slots, tokens beyond are dropped."""
    probabilities = softmax(x @ params["router"])
    dispatch = _slots(jnp.argmax(probabilities, -1), 3)
    combine = dispatch * probabilities.max(-1)[:, None, None]
    outputs = _in_slots(params, jnp.einsum("tec,td->ecd", dispatch, x))
    return jnp.einsum("tec,ecd->td", combine, outputs)


def _one_by_weighted_dispatch(params, x):
    """GShard's spelling: dispatch is where combine is not zero."""
    probabilities = softmax(x @ params["router"])
    combine = probabilities[..., None] * _slots(jnp.argmax(probabilities, -1), 3)
    dispatch = (combine > 0).astype(x.dtype)
    outputs = _in_slots(params, jnp.einsum("tec,td->ecd", dispatch, x))
    return jnp.einsum("tec,ecd->td", combine, outputs)


def _one_by_scatter(params, x):
    """Tokens are scattered into the slots of their experts and gathered back."""
    probabilities = softmax(x @ params["router"])
    chosen = jnp.argmax(probabilities, -1)
    place = jnp.take_along_axis(
        jnp.cumsum(one_hot(chosen, COUNT, dtype=int), 0), chosen[:, None], 1
    )
    place = jnp.minimum(place[:, 0] - 1, 2)
    inputs = jnp.zeros((COUNT, 3, WIDTH)).at[chosen, place].add(x)
    return probabilities.max(-1)[:, None] * _in_slots(params, inputs)[chosen, place]


def _experts_choose_tokens(params, x):
    """Zhou et al. 2022: every expert takes the tokens that like it most."""
    gates, taken = jax.lax.top_k(softmax(x @ params["router"]).T, 3)
    outputs = _in_slots(params, x[taken]) * gates[..., None]
    return jnp.zeros_like(x).at[taken.reshape(-1)].add(outputs.reshape(-1, WIDTH))


def _experts_choose_tokens_by_one_hot(params, x):
    gates, taken = jax.lax.top_k(jnp.swapaxes(softmax(x @ params["router"]), 0, 1), 3)
    dispatch = one_hot(taken, TOKENS)
    outputs = _in_slots(params, jnp.einsum("ect,td->ecd", dispatch, x))
    return jnp.einsum("ect,ec,ecd->td", dispatch, gates, outputs)


MIXTURES = (
    _dense_by_einsum,
    _dense_in_one_einsum,
    _dense_by_multiplying_and_summing,
    _dense_by_vmap,
    _dense_one_by_one,
    _dense_by_scan,
    _largest_by_gates,
    _largest_by_one_hot,
    _largest_by_gather,
    _largest_by_taking_outputs,
    _largest_by_sigmoids,
    _one_by_dispatch_and_combine,
    _one_by_weighted_dispatch,
    _one_by_scatter,
    _experts_choose_tokens,
    _experts_choose_tokens_by_one_hot,
)
# Where the program reads one expert after the other, they are stacked like layers.
ONE_AFTER_THE_OTHER = {"up": "hidden sio @ >gelu", "down": "tail sio @"}


def _mixture(run):
    def apply(params, x):
        x = x @ params["in"]
        return (x + run(params, x)) @ params["out"]

    stacked = run in (_dense_one_by_one, _dense_by_scan)
    expected = EXPECTED | ONE_AFTER_THE_OTHER if stacked else EXPECTED
    return Entry(apply, (shapes(FRAME | EXPERTS), X), expected, 1)


for run in MIXTURES:
    GALLERY[f"mixture{run.__name__}"] = lambda run=run: _mixture(run)


@entry
def mixture_beside_a_shared_expert():
    """Dai et al. 2024 (DeepSeekMoE): a shared expert and the routed ones end one branch."""

    def apply(params, x):
        x = x @ params["in"]
        shared = gelu(x @ params["shared_up"]) @ params["shared_down"]
        return (x + (shared + _largest_by_one_hot(params, x))) @ params["out"]

    sizes = {"shared_up": (WIDTH, HIDDEN), "shared_down": (HIDDEN, WIDTH)}
    expected = {"shared_up": "hidden io @ >gelu", "shared_down": "tail io @"} | EXPECTED
    return Entry(apply, (shapes(FRAME | EXPERTS | sizes), X), expected, 1)


@entry
def mixture_of_gated_experts():
    """Experts with three kernels each; the router has a bias."""

    def apply(params, x):
        x = x @ params["in"]
        weights = softmax(x @ params["router"] + params["router_bias"])
        gate = jnp.einsum("td,edf->tef", x, params["gate"])
        hidden = jax.nn.silu(gate) * jnp.einsum("td,edf->tef", x, params["up"])
        y = jnp.einsum("tef,efd,te->td", hidden, params["down"], weights)
        return (x + y) @ params["out"]

    sizes = {"gate": (COUNT, WIDTH, HIDDEN), "router_bias": (COUNT,)}
    expected = {"gate": "hidden gio @ >silu", "router_bias": "bias"} | EXPECTED
    expected["up"] = "hidden gio @ >"
    return Entry(apply, (shapes(FRAME | EXPERTS | sizes), X), expected, 1)


@entry
def mixture_without_a_residual_sum():
    """Jacobs et al. 1991: experts and router read the input, the mean of the experts is put out."""

    def apply(params, x):
        weights = softmax(x @ params["router"])
        return jnp.einsum("te,teo->to", weights, jnp.einsum("td,edo->teo", x, params["experts"]))

    params = shapes({"router": (5, COUNT), "experts": (COUNT, 5, 3)})
    return Entry(apply, (params, X), {"router": "router io @", "experts": "head gio @"}, 0)


@entry
def mixture_of_heads_multiplied_and_summed():
    """The experts' last kernel has one column; members come first."""

    def apply(params, x):
        weights = softmax(x @ params["router"]).T
        hidden = jnp.tanh(jnp.einsum("td,edf->etf", x, params["up"]))
        values = jnp.einsum("etf,efo->eto", hidden, params["down"])[..., 0]
        return (weights * values).sum(0)

    params = shapes({"router": (5, COUNT), "up": (COUNT, 5, 6), "down": (COUNT, 6, 1)})
    expected = {"router": "router io @", "up": "stem gio @ >tanh", "down": "head gio @"}
    return Entry(apply, (params, X), expected, 0)


def _soft_by_einsum(params, x):
    logits = jnp.einsum("btd,des->btes", x, params["router"])
    dispatch, combine = softmax(logits, 1), softmax(logits, (2, 3))
    inputs = jnp.einsum("btd,btes->besd", x, dispatch)
    hidden = gelu(jnp.einsum("besd,edf->besf", inputs, params["up"]))
    outputs = jnp.einsum("besf,efd->besd", hidden, params["down"])
    return jnp.einsum("besd,btes->btd", outputs, combine)


def _soft_by_vmap(params, x):
    """One slot list for all experts: the router is stored flat."""
    logits = x @ params["router"].reshape(WIDTH, -1)
    dispatch, combine = softmax(logits, axis=1), softmax(logits, axis=-1)
    inputs = (jnp.swapaxes(dispatch, 1, 2) @ x).reshape(2, COUNT, 2, WIDTH)
    expert = lambda up, down, x: gelu(x @ up) @ down  # noqa: E731 it is one expression
    outputs = jax.vmap(expert, (0, 0, 1), 1)(params["up"], params["down"], inputs)
    return combine @ outputs.reshape(2, -1, WIDTH)


def _soft(run):
    """Puigcerver et al. 2024 (Soft MoE): slots are means of tokens, tokens are means of slots."""

    def apply(params, x):
        x = x @ params["in"]
        return (x + run(params, x)) @ params["out"]

    params = FRAME | EXPERTS | {"router": (WIDTH, COUNT, 2)}
    expected = EXPECTED | {"router": "router ioo @"}
    return Entry(apply, (shapes(params), shape(2, TOKENS, 5)), expected, 1)


for run in (_soft_by_einsum, _soft_by_vmap):
    GALLERY[f"mixture{run.__name__}"] = lambda run=run: _soft(run)


@entry
def mixture_soft_of_one_slot_each():
    """With one slot an expert the axis of the slots is left out."""

    def apply(params, x):
        x = x @ params["in"]
        logits = x @ params["router"]
        inputs = jnp.einsum("btd,bte->bed", x, softmax(logits, 1))
        hidden = gelu(jnp.einsum("bed,edf->bef", inputs, params["up"]))
        outputs = jnp.einsum("bef,efd->bed", hidden, params["down"])
        return (x + jnp.einsum("bed,bte->btd", outputs, softmax(logits, 2))) @ params["out"]

    return Entry(apply, (shapes(FRAME | EXPERTS), shape(2, TOKENS, 5)), EXPECTED, 1)


TASKS = 2


def _gates_of_tasks(combine, sizes, gates, towers):
    """Ma et al. 2018 (MMoE): every task weighs the shared experts with a router of its own."""

    def apply(params, x):
        experts = relu(jnp.einsum("bd,edf->bef", x, params["experts"]) + params["bias"])
        return combine(params, x, experts)

    params = {"experts": (COUNT, 5, 6), "bias": (COUNT, 6)} | sizes
    expected = {"experts": "stem gio @ >relu", "bias": "bias", "gate*": gates, "tower*": towers}
    return Entry(apply, (shapes(params), X), expected, 0)


@entry
def gates_of_tasks_by_einsum():
    def combine(params, x, experts):
        outputs = []
        for task in range(TASKS):
            weights = softmax(x @ params[f"gate_{task}"])
            mixed = jnp.einsum("be,bef->bf", weights, experts)
            outputs.append(mixed @ params[f"tower_{task}"])
        return outputs

    sizes = {f"gate_{task}": (5, COUNT) for task in range(TASKS)}
    sizes |= {f"tower_{task}": (6, 1) for task in range(TASKS)}
    return _gates_of_tasks(combine, sizes, "router io @", "head io @")


@entry
def gates_of_tasks_by_multiplying_and_summing():
    def combine(params, x, experts):
        weights = [softmax(x @ params[f"gate_{task}"])[..., None] for task in range(TASKS)]
        mixed = [(one * experts).sum(1) for one in weights]
        return [one @ params[f"tower_{task}"] for task, one in enumerate(mixed)]

    sizes = {f"gate_{task}": (5, COUNT) for task in range(TASKS)}
    sizes |= {f"tower_{task}": (6, 1) for task in range(TASKS)}
    return _gates_of_tasks(combine, sizes, "router io @", "head io @")


@entry
def gates_of_tasks_stacked():
    """Gates and towers of all tasks in one array each: every task is a group."""

    def combine(params, x, experts):
        weights = softmax(jnp.einsum("bd,kde->kbe", x, params["gates"]))
        mixed = jnp.einsum("kbe,bef->kbf", weights, experts)
        return jnp.einsum("kbf,kfo->kbo", mixed, params["towers"])

    sizes = {"gates": (TASKS, 5, COUNT), "towers": (TASKS, 6, 1)}
    return _gates_of_tasks(combine, sizes, "router gio @", "head gio @")


# Residuals to cluster centres, weighted by how much a descriptor belongs to a cluster.
CLUSTERS = {
    "differences": lambda a, x, c: jnp.sum(a[..., None] * (x[:, :, None] - c), axis=1),
    "differences_by_einsum": lambda a, x, c: jnp.einsum("bnk,bnkd->bkd", a, x[:, :, None] - c),
    "sums": lambda a, x, c: jnp.einsum("bnk,bnd->bkd", a, x) - a.sum(1)[..., None] * c,
}


def _clusters(name):
    """Arandjelovic et al. 2016 (NetVLAD)."""

    def apply(params, x):
        assigned = softmax(x @ params["assign"] + params["bias"])
        sums = CLUSTERS[name](assigned, x, params["centres"])
        sums = sums / (jnp.linalg.norm(sums, axis=-1, keepdims=True) + 1e-6)
        return sums.reshape(2, -1) @ params["out"]

    params = {"assign": (5, COUNT), "bias": (COUNT,), "centres": (COUNT, 5), "out": (COUNT * 5, 3)}
    expected = {
        "assign": "router io @",
        "bias": "bias",
        "centres": "own",
        "out": "head io @",
    }
    return Entry(apply, (shapes(params), shape(2, TOKENS, 5)), expected, 0)


for name in CLUSTERS:
    GALLERY[f"assignment_to_clusters_by_{name}"] = lambda name=name: _clusters(name)


class LinenMixture(nn.Module):
    """Experts by `nn.vmap` over one module, as Linen models write them."""

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(WIDTH, name="embed")(x)
        weights = nn.softmax(nn.Dense(COUNT, use_bias=False, name="router")(x))
        experts = nn.vmap(
            LinenExpert,
            in_axes=None,
            out_axes=1,
            axis_size=COUNT,
            variable_axes={"params": 0},
            split_rngs={"params": True},
        )
        y = experts(name="experts")(x)
        return nn.Dense(3, name="classifier")(x + jnp.einsum("te,ted->td", weights, y))


class LinenExpert(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(WIDTH, name="down")(nn.gelu(nn.Dense(HIDDEN, name="up")(x)))


@entry
def linen_mixture():
    return Entry(
        LinenMixture(),
        (X,),
        {
            "embed/kernel": "stem io",
            "router/kernel": "router io @",
            "experts/up/kernel": "hidden gio >gelu",
            "experts/down/kernel": "tail gio",
            "classifier/kernel": "head io",
            "*/bias": "bias",
        },
        1,
    )


class NNXMixture(nnx.Module):
    """A list of experts, all computed; the router's weights are read column by column."""

    def __init__(self, rngs):
        self.embed = nnx.Linear(5, WIDTH, rngs=rngs)
        self.router = nnx.Linear(WIDTH, COUNT, rngs=rngs)
        self.up = nnx.List([nnx.Linear(WIDTH, HIDDEN, rngs=rngs) for _ in range(COUNT)])
        self.down = nnx.List([nnx.Linear(HIDDEN, WIDTH, rngs=rngs) for _ in range(COUNT)])
        self.classifier = nnx.Linear(WIDTH, 3, rngs=rngs)

    def __call__(self, x):
        x = self.embed(x)
        weights = softmax(self.router(x))
        experts = zip(self.up, self.down, strict=True)
        outputs = jnp.stack([down(gelu(up(x))) for up, down in experts], 1)
        return self.classifier(x + (weights[..., None] * outputs).sum(1))


@entry
def nnx_mixture():
    return Entry(
        nnx.eval_shape(lambda: NNXMixture(nnx.Rngs(0))),
        (X,),
        {
            "embed/kernel": "stem io",
            "router/kernel": "router io @",
            "up/?/kernel": "hidden io >gelu",
            "down/?/kernel": "tail io",
            "classifier/kernel": "head io",
            "*/bias": "bias",
        },
        1,
    )


class EquinoxMixture(eqx.Module):
    """Top two of experts made by `filter_vmap`, one token at a time."""

    embed: eqx.nn.Linear
    router: eqx.nn.Linear
    experts: eqx.nn.MLP
    head: eqx.nn.Linear

    def __call__(self, x):
        x = self.embed(x)
        kept, chosen = jax.lax.top_k(softmax(self.router(x)), 2)
        outputs = eqx.filter_vmap(lambda expert, x: expert(x), in_axes=(eqx.if_array(0), None))(
            self.experts, x
        )
        return self.head(x + kept @ outputs[chosen])


@entry
def equinox_mixture():
    def make():
        keys = jax.random.split(jax.random.key(0), 4)
        experts = eqx.filter_vmap(lambda k: eqx.nn.MLP(WIDTH, WIDTH, HIDDEN, 1, key=k))
        return EquinoxMixture(
            eqx.nn.Linear(5, WIDTH, key=keys[0]),
            eqx.nn.Linear(WIDTH, COUNT, use_bias=False, key=keys[1]),
            experts(jax.random.split(keys[2], COUNT)),
            eqx.nn.Linear(WIDTH, 3, key=keys[3]),
        )

    expected = {
        "embed/weight": "stem oi",
        "router/weight": "router oi @",
        "experts/layers/0/weight": "hidden goi >relu",
        "experts/layers/1/weight": "tail goi",
        "head/weight": "head oi",
        "*/bias": "bias",
    }
    return Entry(eqx.filter_eval_shape(make), (shape(5),), expected, 1)
