"""One table of every initializer, and what each of them must do whatever its rule."""

import dataclasses
import inspect
import pickle
import re

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import idinit_jax
from idinit_jax import initializers as room
from idinit_jax.initializers.contract import Initializer, KernelRule, Rule

CONV = (3, 3, 4, 8)

RULES = [
    room.idinit(noise=0.1),
    room.idinit(tau=0.5, noise=0.0, layout="channel"),
    room.zeros_identity(epsilon=0.5, layout="tap"),
    room.dirac(),
    room.he(mode="fan_out", nonlinearity="leaky_relu", negative_slope=0.2),
    room.xavier(),
    room.lecun(),
    room.variance_scaling(2.0, "fan_avg", "uniform"),
    room.orthogonal(),
    room.delta_orthogonal(gain=2.0),
    room.lsuv(),
    room.zero_hadamard(),
    room.sparse(sparsity=0.5, std=1.0),
    room.constant(0.25),
    room.zeros(),
    room.ones(),
    room.normal(),
    room.truncated_normal(),
    room.truncated_normal_exact(),
    room.uniform(-0.5, 0.5),
    room.perturbed(room.idinit(), std=0.1),
    room.zeros_perturbed(),
]
KERNEL_RULES = [rule for rule in RULES if isinstance(rule, KernelRule)]

each_rule = pytest.mark.parametrize("rule", RULES, ids=repr)
each_kernel_rule = pytest.mark.parametrize("rule", KERNEL_RULES, ids=repr)


def bits(array: jax.Array) -> bytes:
    return np.asarray(array).tobytes()


def test_table_holds_every_rule():
    classes = {c for _, c in inspect.getmembers(room, inspect.isclass) if issubclass(c, Rule)}
    assert {type(rule) for rule in RULES} == classes - {Rule, KernelRule}


def test_every_name_is_reachable_from_the_top():
    for name in {type(rule).__name__ for rule in RULES} | {"gain", "Initializer"}:
        assert name in idinit_jax.__all__
        assert getattr(idinit_jax, name) is getattr(room, name)


@each_rule
def test_is_an_initializer_that_prints_itself(rule):
    assert isinstance(rule, Initializer)
    assert eval(repr(rule), vars(room)) == rule
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert hash(dataclasses.replace(rule)) == hash(rule)


@each_rule
def test_one_cast_under_jit_and_vmap_gives_the_same_bits(rule, key):
    """Computed in float32 and cast once; in a program of its own, or inside another for many."""
    keys = jax.random.split(key, 2)
    stacked = jax.jit(jax.vmap(lambda k: rule(k, CONV, "bfloat16")))(keys)
    for array, one in zip(stacked, keys, strict=True):
        called = rule(one, CONV)
        assert called.dtype == jnp.float32
        assert bits(array) == bits(called.astype("bfloat16"))


@each_rule
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=["float32", "float64"])
def test_arithmetic_has_one_precision(rule, dtype, key):
    """float64 is float64 from the first random bit on, and never enters elsewhere."""
    other = {jnp.float32: "f64", jnp.float64: "f32"}[dtype]
    with jax.enable_x64(True):
        program = jax.make_jaxpr(lambda k: rule(k, CONV, dtype))(key)
        assert jax.eval_shape(lambda k: rule(k, CONV), key).dtype == jnp.float64
    assert not re.search(rf"{other}\[\d", str(program))
    assert program.out_avals[0].dtype == dtype


def test_float16(key):
    rule = room.he()
    assert bits(rule(key, CONV, "float16")) == bits(rule(key, CONV).astype("float16"))


def test_float64_without_x64_warns_as_jax_does(key):
    with pytest.warns(UserWarning, match="float64"):
        array = room.ones()(key, (2, 2), np.float64)
    assert array.dtype == jnp.float32


@each_rule
def test_eval_shape_makes_no_array(rule, key):
    outline = jax.eval_shape(lambda k: rule(k, CONV, jnp.bfloat16), key)
    assert (outline.shape, outline.dtype) == (CONV, jnp.bfloat16)


@each_rule
def test_values_depend_on_the_key_alone(rule, key):
    first, again, other = rule(key, CONV), rule(key, CONV), rule(jax.random.key(1), CONV)
    assert bits(first) == bits(again)
    assert (bits(first) != bits(other)) == rule.needs_key


@pytest.mark.parametrize("rule", [room.idinit(noise=0.1), room.perturbed(room.ones())], ids=repr)
def test_raw_keys_are_keys(rule, key):
    assert bits(rule(jax.random.key_data(key), CONV)) == bits(rule(key, CONV))


def test_pure_values_are_those_of_the_call(key):
    """What a program that fills many arrays would use."""
    rule = room.he()
    values = jax.jit(lambda k: rule.values(k, CONV, jnp.float32))(key)
    assert bits(values) == bits(rule(key, CONV))


@each_rule
def test_key_may_be_none_where_nothing_is_random(rule, key):
    if rule.needs_key:
        for given in (None, 0, jnp.zeros((2,))):
            with pytest.raises(TypeError, match=r"needs a key, jax\.random\.key"):
                rule(given, CONV)
    else:
        assert bits(rule(None, CONV)) == bits(rule("any", CONV)) == bits(rule(key, CONV))


@each_rule
def test_same_bits_under_a_sharding(rule, key):
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
    named = NamedSharding(mesh, P(None, None, "x", "y"))
    array = rule(key, CONV, out_sharding=named)
    assert array.sharding.is_equivalent_to(named, 4)
    assert array.addressable_shards[0].data.shape == (3, 3, 1, 4)
    assert bits(array) == bits(rule(key, CONV))


@each_rule
def test_traces_within_an_explicit_mesh(rule, key):
    """Even where nobody asks for a sharding, every operation on the way has one in its type."""
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Explicit,) * 2)
    with jax.set_mesh(mesh):
        free = jax.eval_shape(lambda k: rule(k, CONV), key)
        spread = jax.eval_shape(lambda k: rule(k, CONV, out_sharding=P(None, None, "x", "y")), key)
    assert free.shape == spread.shape == CONV
    assert spread.sharding.spec == P(None, None, "x", "y")


@pytest.mark.parametrize("axis_type", [AxisType.Explicit, AxisType.Auto], ids=["explicit", "auto"])
def test_every_way_to_ask_for_a_sharding(axis_type, key):
    rule = room.orthogonal()
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(axis_type,) * 2)
    named = NamedSharding(mesh, P("x", "y"))
    plain = rule(key, (8, 4))
    arrays = [rule(key, (8, 4), out_sharding=named)]
    with jax.set_mesh(mesh):
        arrays.append(rule(key, (8, 4), out_sharding=named))
        arrays.append(jax.jit(lambda k: rule(k, (8, 4), out_sharding=P("x", "y")))(key))
    for array in arrays:
        assert array.sharding.is_equivalent_to(named, 2)
        assert bits(array) == bits(plain)


@pytest.mark.parametrize("rule", [room.he(), room.idinit(), room.zero_hadamard()], ids=repr)
def test_each_device_makes_its_own_part_alone(rule, key):
    """The compiled program of a sharded array holds no array of the full size."""
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
    named = NamedSharding(mesh, P("x", "y"))
    text = (
        jax.jit(lambda k: rule(k, (512, 1024), out_sharding=named)).lower(key).compile().as_text()
    )
    assert "[128,512]" in text
    assert "[512,1024]" not in text
    assert "all-gather" not in text


EMPTY = [(0, 4), (4, 0), (3, 0, 4), (3, 0, 2, 2), (0, 3, 4, 5)]


@each_rule
def test_axes_of_size_zero_give_an_empty_array(rule, key):
    assert rule(key, (3, 3, 0, 4), jnp.bfloat16).size == 0
    outlines = jax.eval_shape(lambda k: [rule(k, shape) for shape in EMPTY], key)
    assert [outline.shape for outline in outlines] == EMPTY


@each_kernel_rule
def test_axes_of_size_one(rule, key):
    array = rule(key, (1, 1, 1, 1))
    assert array.shape == (1, 1, 1, 1)
    assert jnp.isfinite(array).all()


@each_rule
@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "complex64"])
def test_refuses_a_dtype_that_is_not_real_floating(rule, dtype, key):
    with pytest.raises(TypeError, match=f"dtype={dtype}.*float32, float64, bfloat16 or float16"):
        rule(key, CONV, dtype)


@each_rule
def test_refuses_a_shape_that_is_none(rule, key):
    with pytest.raises(ValueError, match="negative size"):
        rule(key, (2, -1))
    with pytest.raises(TypeError, match="sequence of whole numbers"):
        rule(key, (2, 2.5))
    with pytest.raises(TypeError, match="sequence of whole numbers"):
        rule(key, 4)


@each_rule
def test_refuses_a_sharding_that_has_no_mesh(rule, key):
    with pytest.raises(ValueError, match=r"needs a mesh: enter one with jax\.set_mesh"):
        rule(key, CONV, out_sharding=P("x"))
    with pytest.raises(TypeError, match="NamedSharding or a PartitionSpec, got"):
        rule(key, CONV, out_sharding="x")


@each_kernel_rule
def test_refuses_a_kernel_without_in_or_out_axis(rule, key):
    with pytest.raises(ValueError, match="out of range for shape"):
        rule(key, (4,))
    with pytest.raises(ValueError, match="out of range for shape"):
        rule(key, ())
    with pytest.raises(ValueError, match=r"in_axis=.. names no axis"):
        dataclasses.replace(rule, in_axis=())
    with pytest.raises(ValueError, match="overlap"):
        dataclasses.replace(rule, in_axis=-1)(key, CONV)
    with pytest.raises(TypeError, match="out_axis: expected int"):
        dataclasses.replace(rule, out_axis="last")


@each_kernel_rule
def test_refuses_groups_that_do_not_divide(rule, key):
    with pytest.raises(ValueError, match="groups=3 does not divide the 8 output channels"):
        dataclasses.replace(rule, groups=3)(key, CONV)
    with pytest.raises(ValueError, match="groups must be a whole number of at least 1, got 0"):
        dataclasses.replace(rule, groups=0)


NOT_DRAWN_IN_STORED_ORDER = [
    rule
    for rule in KERNEL_RULES
    if not rule.needs_key
    or isinstance(rule, room.orthogonal | room.delta_orthogonal | room.lsuv | room.sparse)
]


@pytest.mark.parametrize("rule", NOT_DRAWN_IN_STORED_ORDER, ids=repr)
def test_axes_may_stand_anywhere(rule, key):
    """A kernel stored (out, copies, taps, in) is that of (copies, taps, in, out), transposed."""
    usual = dataclasses.replace(rule, batch_axis=0)
    moved = dataclasses.replace(rule, in_axis=3, out_axis=0, batch_axis=1)
    np.testing.assert_array_equal(
        moved(key, (8, 2, 3, 4)), usual(key, (2, 3, 4, 8)).transpose(3, 0, 1, 2)
    )
