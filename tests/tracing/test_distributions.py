"""What distributions weigh: attention, routers, members, and what only looks like them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from jax.nn import gelu, leaky_relu, one_hot, relu, sigmoid, softmax

from idinit_jax.tracing.answers.axes import read_axes
from idinit_jax.tracing.answers.contractions import find_contractions
from idinit_jax.tracing.answers.distributions import find_distributions
from idinit_jax.tracing.answers.groups import with_groups
from idinit_jax.tracing.facts import find_facts
from idinit_jax.tracing.frameworks import take_apart
from idinit_jax.tracing.program.flatten import flatten
from idinit_jax.tracing.traced import make_program

WIDTH = 8
X = jax.ShapeDtypeStruct((2, 6, 5), "float32")
FRAME = {"w_in": (5, WIDTH), "w_out": (WIDTH, 3)}


class Case(NamedTuple):
    """A function with the shapes of its parameters and a line of words for some of them.

    The words: a letter for every axis, then attention parts, "router", "signal".
    """

    apply: Callable[[Any, jax.Array], jax.Array]
    shapes: dict[str, tuple[int, ...]]
    expected: Mapping[str, str | None]


CASES: dict[str, Case] = {}


def case(shapes: dict[str, tuple[int, ...]], expected: Mapping[str, str | None]) -> Callable:
    """Collect a function as a case."""

    def collect(apply: Callable) -> Callable:
        CASES[apply.__name__.removeprefix("_")] = Case(apply, shapes, expected)
        return apply

    return collect


def _words(one: Case) -> dict[str, str]:
    """What is found of every kernel, in the words of an expectation."""
    shapes = {name: jax.ShapeDtypeStruct(size, "float32") for name, size in one.shapes.items()}
    line = flatten(make_program(take_apart(one.apply, (shapes, X), {})))
    facts = find_facts(line)
    while True:
        contractions = find_contractions(facts)
        found = find_distributions(facts, contractions, _sums(facts, line))
        if not found.queries:
            break
        facts = find_facts(line, facts.assumed.signals | found.queries)
    names = sorted(one.shapes)
    words = {names[line.params.index(value)]: "signal" for value in facts.assumed.signals}
    for index, contraction in enumerate(with_groups(facts, contractions, found)):
        for share in contraction.shares:
            name = names[facts.weights[share.parameter]]
            axes = read_axes(one.shapes[name], share)
            assert axes is not None, name
            letters = ["."] * len(axes.view)
            for letter, held in zip("iogs", axes[1:5], strict=True):
                for axis in held:
                    letters[axis] = letter
            said = [",".join(found.parts.get(index, ())), "router" * (index in found.routers)]
            words.setdefault(name, " ".join(["".join(letters), *filter(None, said)]))
    return words


def _sums(facts: Any, line: Any) -> set[int]:
    """Residual sums of these models: an addition of two signals of which one has been moved on."""
    return {
        node.outputs[0]
        for node in line.nodes
        if node.operation == "add"
        and all(map(facts.is_signal, node.inputs))
        and line.shapes[node.inputs[0]] == line.shapes[node.inputs[1]] == (2, 6, WIDTH)
    }


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    found = _words(CASES[name])
    assert {key: found.get(key) for key in CASES[name].expected} == CASES[name].expected


# -- attention

ATTENTION = FRAME | dict.fromkeys("qkv", (WIDTH, 2, 4)) | {"o": (2, 4, WIDTH)}
PARTS = {"q": "ioo query", "k": "ioo key", "v": "ioo value", "o": "iio output"}


def _heads(p, x):
    return (jnp.einsum("btd,dhe->bthe", x, p[name]) for name in "qkv")


def _joined(p, x, y):
    return (x + jnp.einsum("bthe,hed->btd", y, p["o"])) @ p["w_out"]


@case(ATTENTION, PARTS)
def _attention(p, x):
    x = x @ p["w_in"]
    q, k, v = _heads(p, x)
    weights = softmax(jnp.einsum("bthe,bshe->bhts", q, k))
    return _joined(p, x, jnp.einsum("bhts,bshe->bthe", weights, v))


@case(ATTENTION, PARTS)
def _attention_multiplied_and_summed(p, x):
    x = x @ p["w_in"]
    q, k, v = _heads(p, x)
    weights = softmax((q[:, :, None] * k[:, None]).sum(-1), 2)
    return _joined(p, x, (weights[..., None] * v[:, None]).sum(2))


@case(ATTENTION, PARTS)
def _attention_divided_late(p, x):
    x = x @ p["w_in"]
    q, k, v = _heads(p, x)
    e = jnp.exp(jnp.einsum("bthe,bshe->bths", q, k))
    return _joined(p, x, jnp.einsum("bths,bshe->bthe", e, v) / e.sum(-1, keepdims=True))


@case(ATTENTION, PARTS)
def _attention_scanned_over_blocks_of_keys(p, x):
    """Milakov and Gimelshein 2018: the sums that divide and are divided are carried along."""
    x = x @ p["w_in"]
    q, k, v = _heads(p, x)
    blocks = [one.reshape(2, 3, 2, 2, 4).swapaxes(0, 1) for one in (k, v)]

    def turn(carry, block):
        most, total, weighed = carry
        k, v = block
        logits = jnp.einsum("bthe,bshe->bhts", q, k)
        higher = jnp.maximum(most, logits.max(-1))
        e, kept = jnp.exp(logits - higher[..., None]), jnp.exp(most - higher)
        weighed = weighed * kept[..., None] + jnp.einsum("bhts,bshe->bhte", e, v)
        return (higher, total * kept + e.sum(-1), weighed), None

    start = (jnp.full((2, 2, 6), -jnp.inf), jnp.zeros((2, 2, 6)), jnp.zeros((2, 2, 6, 4)))
    (_, total, weighed), _ = jax.lax.scan(turn, start, blocks)
    return _joined(p, x, (weighed / total[..., None]).swapaxes(1, 2))


TALKING = ATTENTION | {"before": (2, 2), "after": (2, 2), "bias": (1, 2, 1, 1)}


@case(TALKING, PARTS | {"before": "io", "after": "io"})
def _attention_of_talking_heads(p, x):
    x = x @ p["w_in"]
    q, k, v = _heads(p, x)
    logits = jnp.einsum("bthe,bshe,hg->bgts", q, k, p["before"])
    weights = jnp.einsum("bhts,hg->bgts", softmax(logits), p["after"]) + p["bias"]
    return _joined(p, x, jnp.einsum("bhts,bshe->bthe", weights, v))


@case(ATTENTION, PARTS)
def _attention_whose_heads_put_out_apart(p, x):
    """Every head has an output kernel and they are summed: one kernel over heads and features."""
    x = x @ p["w_in"]
    q, k, v = _heads(p, x)
    weights = softmax(jnp.einsum("bthe,bshe->bhts", q, k))
    y = jnp.einsum("bhts,bshe->bthe", weights, v)
    return (x + jnp.einsum("bthe,hed->bthd", y, p["o"]).sum(2)) @ p["w_out"]


MIXED = {"q": "igo query", "k": "igo key", "v": "igo value", "o": "gio output", "r": "io router"}


@case(ATTENTION | {"r": (WIDTH, 2)}, MIXED)
def _attention_whose_heads_a_router_weighs(p, x):
    x = x @ p["w_in"]
    q, k, v = _heads(p, x)
    weights = softmax(jnp.einsum("bthe,bshe->bhts", q, k))
    y = jnp.einsum("bhts,bshe->bthe", weights, v)
    return _joined(p, x, y * softmax(x @ p["r"])[..., None])


PLAIN = FRAME | dict.fromkeys("qkv", (WIDTH, WIDTH))


@case(PLAIN, {"q": "io query", "k": "io key", "v": "io value", "w_out": "io"})
def _attention_without_an_output_kernel(p, x):
    x = x @ p["w_in"]
    q, k, v = (x @ p[name] for name in "qkv")
    return (x + softmax(q @ k.swapaxes(1, 2)) @ v) @ p["w_out"]


BLOCK = FRAME | {"up": (WIDTH, 12), "down": (12, WIDTH), "k": (WIDTH, WIDTH)}


@case(BLOCK, {"up": "io", "down": "io", "k": "io key"})
def _attention_that_a_residual_sum_asks(p, x):
    """The sum itself is the query: the kernels of the block before it are none."""
    x = x @ p["w_in"]
    x = x + relu(x @ p["up"]) @ p["down"]
    return softmax(x @ (x @ p["k"]).swapaxes(1, 2)) @ x @ p["w_out"]


SLOTS = FRAME | {"slots": (4, WIDTH)} | dict.fromkeys("qkv", (WIDTH, WIDTH))


@case(SLOTS, {"slots": "signal", "q": "io query", "k": "io key", "v": "io value"})
def _attention_normalized_over_slots_first(p, x):
    """Locatello et al. 2020."""
    x, slots = x @ p["w_in"], jnp.broadcast_to(p["slots"], (2, 4, WIDTH))
    weights = softmax(jnp.einsum("bnd,bkd->bnk", x @ p["k"], slots @ p["q"]))
    weights = weights / (weights + 1e-8).sum(1, keepdims=True)
    return (slots + jnp.einsum("bnk,bnd->bkd", weights, x @ p["v"])) @ p["w_out"]


LATENTS = FRAME | {"latents": (4, WIDTH)} | dict.fromkeys("qkv", (WIDTH, WIDTH))


@case(LATENTS, {"latents": "signal", "q": "io query", "k": "io key", "v": "io value"})
def _attention_of_a_learned_query(p, x):
    x = x @ p["w_in"]
    logits = jnp.einsum("ld,bsd->bls", p["latents"] @ p["q"], x @ p["k"])
    return softmax(logits) @ (x @ p["v"]) @ p["w_out"]


@case(FRAME | {"w_score": (WIDTH, 4), "s": (4, 2), "w_out": (16, 3)}, {"w_score": "io", "s": "io"})
def _pooling_by_scores_of_a_small_net(p, x):
    """Scores of two heads: no query, no attention."""
    x = relu(x @ p["w_in"])
    weights = softmax(jnp.tanh(x @ p["w_score"]) @ p["s"], 1)
    return jnp.einsum("bth,btd->bhd", weights, x).reshape(2, -1) @ p["w_out"]


SCALED = FRAME | {"s": (WIDTH, 2), "scale": (2,), "w_out": (16, 3)}


@case(SCALED, {"s": "io", "scale": None})
def _pooling_by_a_scaled_kernel(p, x):
    x = relu(x @ p["w_in"])
    weights = softmax(x @ (p["s"] * p["scale"][None]), 1)
    return jnp.einsum("bth,btd->bhd", weights, x).reshape(2, -1) @ p["w_out"]


@case(PLAIN | {"s": (WIDTH,)}, {"q": "io query", "k": "io key", "v": "io value", "s": "i output"})
def _pooling_of_what_has_been_attended(p, x):
    """The positions come from the weights of an attention, which are no scores."""
    x = x @ p["w_in"]
    q, k, v = (x @ p[name] for name in "qkv")
    y = softmax(q @ k.swapaxes(1, 2)) @ v
    return jnp.einsum("bt,btd->bd", softmax(y @ p["s"], 1), x) @ p["w_out"]


LINEAR = FRAME | dict.fromkeys("qkvo", (WIDTH, WIDTH)) | {"s": (WIDTH,)}


@case(LINEAR, dict.fromkeys("qkvo", "io") | {"s": "i"})
def _pooling_behind_a_product_of_signals(p, x):
    """The product lies behind the scores but it isn't one: its features are summed."""
    x = x @ p["w_in"]
    q, k, v = (x @ p[name] for name in "qkv")
    y = (q @ (k.swapaxes(1, 2) @ v)) @ p["o"]
    return jnp.einsum("bt,btd->bd", softmax(y @ p["s"], 1), x) @ p["w_out"]


# -- routers

EXPERTS = FRAME | {"r": (WIDTH, 3), "up": (3, WIDTH, 12), "down": (3, 12, WIDTH)}
ROUTED = {"w_in": "io", "r": "io router", "up": "gio", "down": "gio", "w_out": "io"}


def _all(p, x):
    hidden = gelu(jnp.einsum("btd,edf->btef", x, p["up"]))
    return jnp.einsum("btef,efd->bted", hidden, p["down"])


@case(EXPERTS, ROUTED)
def _router_of_kernels_by_the_largest(p, x):
    x = x @ p["w_in"]
    chosen = jnp.argmax(x @ p["r"], -1)
    hidden = gelu(jnp.einsum("btd,btdf->btf", x, p["up"][chosen]))
    return (x + jnp.einsum("btf,btfd->btd", hidden, p["down"][chosen])) @ p["w_out"]


@case(EXPERTS, ROUTED)
def _router_of_outputs_by_the_largest(p, x):
    x = x @ p["w_in"]
    chosen = jnp.argmax(x @ p["r"], -1)
    taken = jnp.take_along_axis(_all(p, x), chosen[..., None, None], 2)
    return (x + taken[:, :, 0]) @ p["w_out"]


@case(EXPERTS, ROUTED)
def _router_of_outputs_by_one_hot_rows(p, x):
    x = x @ p["w_in"]
    chosen = one_hot(jnp.argmax(x @ p["r"], -1), 3)
    return (x + jnp.einsum("bte,bted->btd", chosen, _all(p, x))) @ p["w_out"]


@case(EXPERTS | {"r_0": (WIDTH, WIDTH), "n": (WIDTH, 3)}, ROUTED | {"r_0": "io", "n": "io router"})
def _router_of_two_layers_and_two_terms(p, x):
    x = x @ p["w_in"]
    weights = softmax(relu(x @ p["r_0"]) @ p["r"] + x @ p["n"])
    return (x + jnp.einsum("bte,bted->btd", weights, _all(p, x))) @ p["w_out"]


@case(EXPERTS, ROUTED)
def _router_before_the_last_sum(p, x):
    """The experts' last kernel sums over features and experts at once."""
    x = x @ p["w_in"]
    hidden = gelu(jnp.einsum("btd,edf->btef", x, p["up"])) * softmax(x @ p["r"])[..., None]
    return (x + jnp.einsum("btef,efd->btd", hidden, p["down"])) @ p["w_out"]


SINGLE = {"r": (5, 3), "w": (3, 5, WIDTH), "w_out": (WIDTH, 3)}


@case(SINGLE, {"r": "io router", "w": "gio", "w_out": "io"})
def _router_of_single_kernels(p, x):
    """No later kernel has the experts' axis: the router alone tells that they are experts."""
    y = jnp.einsum("btd,edf->btef", x, p["w"])
    return jnp.einsum("bte,btef->btf", softmax(x @ p["r"]), y) @ p["w_out"]


@case(SINGLE, {"r": "io router", "w": "gio", "w_out": "io"})
def _router_of_single_kernels_by_one_hot_rows(p, x):
    kept, chosen = jax.lax.top_k(x @ p["r"], 2)
    weights = jnp.einsum("btk,btke->bte", softmax(kept), one_hot(chosen, 3))
    y = jnp.einsum("btd,edf->btef", x, p["w"])
    return jnp.einsum("bte,btef->btf", weights, y) @ p["w_out"]


SOFT = FRAME | {"a": (WIDTH, 4), "b": (4, 3), "up": (3, WIDTH, 12), "down": (3, 12, WIDTH)}


@case(SOFT, {"a": "io router", "b": "io router", "up": "gio", "down": "gio"})
def _router_of_low_rank(p, x):
    """Both softmaxes of a soft mixture are one router's: that over positions asks nothing."""
    x = x @ p["w_in"]
    logits = x @ (p["a"] @ p["b"])
    slots = jnp.einsum("bte,btd->bed", softmax(logits, 1), x)
    hidden = gelu(jnp.einsum("bed,edf->bef", slots, p["up"]))
    y = jnp.einsum("bef,efd->bed", hidden, p["down"])
    return (x + jnp.einsum("bte,bed->btd", softmax(logits, 2), y)) @ p["w_out"]


PIECES = {"a": (5, WIDTH), "b": (5, WIDTH), "s": (WIDTH, 4), "w_out": (WIDTH, 3)}
PIECES |= {"for_a": (4, WIDTH), "for_b": (4, WIDTH)}


@case(PIECES, {"a": "io", "b": "io", "s": "io", "for_a": "io router", "for_b": "io router"})
def _router_in_pieces(p, x):
    """Li et al. 2019 (selective kernels): each way has a kernel for its scores."""
    a, b = relu(x @ p["a"]), relu(x @ p["b"])
    s = relu((a + b).mean(1) @ p["s"])
    weights = softmax(jnp.stack([s @ p["for_a"], s @ p["for_b"]]), 0)
    return (weights[0][:, None] * a + weights[1][:, None] * b) @ p["w_out"]


@case(EXPERTS, ROUTED | {"r": "io"})
def _no_router_without_a_distribution(p, x):
    """Sigmoids that nothing divides are gates; the experts are groups all the same."""
    x = x @ p["w_in"]
    return (x + jnp.einsum("bte,bted->btd", sigmoid(x @ p["r"]), _all(p, x))) @ p["w_out"]


@case(FRAME | {"g": (WIDTH, WIDTH)}, {"w_in": "io", "g": "io", "w_out": "io"})
def _no_router_of_its_own_features(p, x):
    x = relu(x @ p["w_in"])
    return (x * softmax(x @ p["g"])) @ p["w_out"]


@case(FRAME | {"g": (WIDTH, WIDTH)}, {"w_in": "io", "g": "io", "w_out": "io"})
def _no_router_of_channels(p, x):
    x = relu(x @ p["w_in"])
    return (x * softmax(x.mean(1) @ p["g"])[:, None]) @ p["w_out"]


@case({"w_in": (5, WIDTH), "k": (WIDTH, 7), "v": (7, 3)}, {"k": "io", "v": "io"})
def _no_router_of_a_memory(p, x):
    """Guo et al. 2021 (external attention): a softmax between two kernels."""
    return softmax((x @ p["w_in"]) @ p["k"]) @ p["v"]


DENSE = FRAME | {"a": (WIDTH, 8), "b": (8, 6), "v": (WIDTH, WIDTH)}


@case(DENSE, {"a": "io", "b": "io", "v": "io"})
def _no_router_of_positions(p, x):
    """Tay et al. 2020 (dense Synthesizer): a kernel makes the weights of positions."""
    x = x @ p["w_in"]
    return (x + softmax(relu(x @ p["a"]) @ p["b"]) @ (x @ p["v"])) @ p["w_out"]


@case(FRAME | {"w": (WIDTH, 3), "o": (WIDTH, WIDTH)}, {"w": "io", "o": "io"})
def _no_router_of_neighbours(p, x):
    """Wu et al. 2019 (dynamic convolution): pieces of one signal are positions."""
    x = x @ p["w_in"]
    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
    near = jnp.stack([padded[:, shift : shift + 6] for shift in range(3)], 2)
    return (x + jnp.einsum("btk,btkd->btd", softmax(x @ p["w"]), near) @ p["o"]) @ p["w_out"]


@case({"w_in": (5, WIDTH), "z": (WIDTH, 51)}, {"z": "io"})
def _no_router_of_numbers(p, x):
    """Bellemare et al. 2017: the mean of a distribution over known values."""
    return softmax(relu(x @ p["w_in"]) @ p["z"]) @ jnp.linspace(-1.0, 1.0, 51)


@case(FRAME | {"a": (WIDTH, 4), "b": (WIDTH, 4)}, {"a": "io", "b": "io"})
def _no_router_where_two_distributions_agree(p, x):
    x = relu(x @ p["w_in"])
    return jnp.einsum("btk,bsk->bts", softmax(x @ p["a"]), softmax(x @ p["b"]))


@case(FRAME | {"h": (WIDTH, 4), "w_out": (1, 3)}, {"h": "io", "w_out": "io"})
def _no_router_of_its_own_largest(p, x):
    x = relu(x @ p["w_in"]) @ p["h"]
    return jnp.take_along_axis(x, jnp.argmax(x, -1)[..., None], -1) @ p["w_out"]


@case(FRAME | {"h": (WIDTH, 4), "scale": (4,)}, {"h": "io", "w_out": "io"})
def _no_router_of_numbers_that_are_looked_up(p, x):
    x = x @ p["w_in"]
    return (x * p["scale"][jnp.argmax(x @ p["h"], -1)][..., None]) @ p["w_out"]


@case(FRAME | {"head": (WIDTH, 9), "table": (9, WIDTH)}, {"head": "io", "table": "io"})
def _no_router_of_rows(p, x):
    token = jnp.argmax(relu(x @ p["w_in"]) @ p["head"], -1)
    return p["table"][token] @ p["w_out"]


# -- members


@case({"a": (3, 5, 4), "b": (3, 4, 4), "c": (3, 4, 2)}, {"a": "gio", "b": "gio", "c": "gio"})
def _members_averaged(p, x):
    member = lambda p: relu(relu(x @ p["a"]) @ p["b"]) @ p["c"]  # noqa: E731 it is one expression
    return jax.vmap(member)(p).mean(0)


@case({"a": (1, 5, 4), "b": (1, 4, 4), "c": (1, 4, 1)}, {"a": "gio", "b": "gio", "c": "gio"})
def _members_of_which_there_is_one(p, x):
    member = lambda p: relu(relu(x @ p["a"]) @ p["b"]) @ p["c"]  # noqa: E731 it is one expression
    return jax.vmap(member)(p).squeeze(0)


@case({"a": (3, 3, 5, 4), "b": (3, 3, 4, 4)}, {"a": "g.io", "b": "g.io"})
def _members_that_convolve(p, x):
    """A mapped convolution folds the members into feature groups."""

    def conv(x, kernel):
        numbers = ("NWC", "WIO", "NWC")
        return jax.lax.conv_general_dilated(x, kernel, (1,), "SAME", dimension_numbers=numbers)

    return jax.vmap(lambda p: conv(relu(conv(x, p["a"])), p["b"]))(p)


@case({"a": (3, 3, 5, 4), "b": (3, 3, 1, 4)}, {"a": "g.io", "b": "g.io"})
def _members_that_convolve_channel_by_channel(p, x):
    """The feature groups of a mapped depthwise convolution are members and channels."""

    def conv(x, kernel, groups):
        numbers = ("NWC", "WIO", "NWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (1,), "SAME", dimension_numbers=numbers, feature_group_count=groups
        )

    return jax.vmap(lambda p: conv(relu(conv(x, p["a"], 1)), p["b"], 4))(p)


@case({"w": (5, 2, 4), "a": (2, 4), "b": (2, 4), "w_out": (8, 3)}, {"w": "ioo", "w_out": "io"})
def _heads_are_no_members(p, x):
    """Velickovic et al. 2018: scores have a kernel a head, but the last kernel sums over them."""
    x = jnp.einsum("bnd,dhe->bnhe", x, p["w"])
    a, b = (jnp.einsum("bnhe,he->bnh", x, p[name]) for name in "ab")
    weights = softmax(leaky_relu(a[:, :, None] + b[:, None]), 2)
    return jnp.einsum("bnmh,bmhe->bnhe", weights, x).reshape(2, 6, -1) @ p["w_out"]
