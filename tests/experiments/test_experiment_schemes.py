"""A run starts as the library's scheme says, and departs from it where an ablation asks."""

from collections.abc import Mapping
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import idinit_jax
from experiments.config import (
    MLP,
    CifarResNet,
    Data,
    Execution,
    Initialization,
    Norm,
    Scheme,
    TrainConfig,
)
from experiments.data import DataInfo, load, normalize
from experiments.experiment import first_state, make_recipe, set_up
from experiments.networks import build_network
from experiments.schemes import scheme_of
from idinit_jax.models import cifar_resnet

pytestmark = pytest.mark.usefixtures("quick_compilation")

INFO = DataInfo("noise", 10, (8, 8, 3), 64, 8, (0.5,) * 3, (0.25,) * 3)
IMAGES = jax.ShapeDtypeStruct((2, *INFO.image_shape), jnp.float32)
# Taken while tests are collected: some of them register schemes of their own.
LIBRARY = idinit_jax.schemes.schemes()
STYLES = ("skipinit", "rezero", "fixup")


def resnet8(
    init: Initialization, norm: Norm = "batch", shortcut: str = "padded"
) -> Mapping[str, Any]:
    """First parameters of ResNet-8."""
    config = TrainConfig(CifarResNet(depth=8, norm=norm, shortcut=shortcut), init, seed=3)
    return first_state(make_recipe(config, INFO, 8, 4), config, INFO).params


def block(init: Initialization, norm: Norm = "batch", **model: str) -> Mapping[str, Any]:
    """The first block whose shortcut is plain."""
    return resnet8(init, norm, **model)["stage_0"]["first"]


def test_every_scheme_of_the_library_can_be_asked_for() -> None:
    assert sorted(get_args(Scheme)) == sorted(LIBRARY)


@pytest.mark.parametrize("scheme", LIBRARY)
def test_a_run_starts_from_the_library_s_parameters(scheme: Scheme) -> None:
    style, norm = (scheme, "none") if scheme in STYLES else ("plain", "batch")
    network = cifar_resnet(8, num_classes=10, residual=style, norm=norm)
    key = jax.random.split(jax.random.key(3))[1]
    expected = idinit_jax.initialize(network, key, IMAGES, scheme=scheme)["params"]
    assert_same(resnet8(Initialization(scheme), norm), expected)


def assert_same(given: Any, expected: Any) -> None:
    assert jax.tree.structure(given) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, given, expected)


@pytest.mark.parametrize(
    ("scheme", "multiplier"), [("skipinit", 0.0), ("rezero", 0.0), ("fixup", 1.0)]
)
def test_a_residual_style_starts_its_scalars_beside_norms(
    scheme: Scheme, multiplier: float
) -> None:
    first = block(Initialization(scheme))
    assert float(first["multiplier"]) == multiplier
    np.testing.assert_array_equal(first["tail_norm"]["scale"], 1.0)


@pytest.mark.parametrize(
    ("init", "norm", "largest", "scale"),
    [
        (Initialization("idinit"), "batch", 0.1, 1e-3),
        (Initialization("idinit"), "none", 1e-6, None),
        (Initialization("idinit_literal"), "batch", 1e-6, 1.0),
        (Initialization("he", tail="literal"), "batch", 1e-6, 1.0),
        (Initialization("he", tail="norm_aware"), "batch", 0.1, 1e-3),
        (Initialization("he", tail="norm_aware"), "none", 1e-6, None),
        (Initialization("zero_hadamard"), "batch", 0.0, 1.0),
    ],
)
def test_how_a_branch_ends(
    init: Initialization, norm: Norm, largest: float, scale: float | None
) -> None:
    first = block(init, norm)
    assert float(jnp.abs(first["tail"]["kernel"]).max()) == pytest.approx(largest)
    if scale is not None:
        np.testing.assert_allclose(first["tail_norm"]["scale"], scale, rtol=1e-6)


@pytest.mark.parametrize(
    ("init", "scale"),
    [
        (Initialization("zero_gamma"), 0.0),
        (Initialization("idinit", tail="standard"), 1.0),
        (Initialization("idinit", tail="norm_aware_he"), 1e-3),
    ],
)
def test_a_random_tail_has_he_variance(init: Initialization, scale: float) -> None:
    """std = sqrt(2 / fan_in) within 5 standard errors of a std of 2304 normal draws."""
    first = block(init)
    kernel = np.asarray(first["tail"]["kernel"])
    expected = np.sqrt(2 / (9 * 16))
    assert kernel.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * kernel.size))
    np.testing.assert_allclose(first["tail_norm"]["scale"], scale, rtol=1e-6)


@pytest.mark.parametrize("layout", ["patch", "tap", "channel"])
def test_identity_is_laid_out_as_asked_in_every_role(layout) -> None:
    """The one nonzero of output 0 reads input 0: at the first tap, or at the centre."""
    init = Initialization("idinit", layout=layout, stem="identity", head="identity")
    params = resnet8(init, shortcut="projection")
    convolutions = (params["stem"], params["stage_0"]["first"]["conv_0"])
    tap = (1, 1) if layout == "channel" else (0, 0)
    for conv in convolutions:
        assert np.argwhere(conv["kernel"][..., 0]).tolist() == [[*tap, 0]]
    assert np.argwhere(params["stage_1"]["first"]["shortcut"]["kernel"][..., 0]).size == 3
    assert np.argwhere(params["head"]["kernel"][:, 0]).tolist() == [[0]]


def test_a_standard_shortcut_is_he() -> None:
    init = Initialization("idinit", shortcut_start="standard")
    kernel = resnet8(init, shortcut="projection")["stage_1"]["first"]["shortcut"]["kernel"]
    assert np.asarray(kernel).std() == pytest.approx(np.sqrt(2 / 16), rel=5 / np.sqrt(2 * 512))


@pytest.mark.parametrize(
    ("init", "hidden", "tail"),
    [
        (Initialization("he"), False, False),
        (Initialization("idinit_literal", tail="standard"), True, False),
        (Initialization("he", tail="literal"), False, True),
        (Initialization("idinit_literal"), True, True),
    ],
    ids=["neither", "convolutions", "tails", "both"],
)
def test_the_paper_s_ablation_can_be_asked_for(
    init: Initialization, hidden: bool, tail: bool
) -> None:
    """An identity kernel has one nonzero entry an output, a zero-preserving one two."""
    first = block(init)
    nonzeros = [np.count_nonzero(first[name]["kernel"][..., 0]) for name in ("conv_0", "tail")]
    assert nonzeros == [1 if hidden else 144, 2 if tail else 144]


def test_lsuv_gives_every_kernel_unit_output_variance_on_the_first_batch() -> None:
    config = TrainConfig(MLP(features=(16, 12)), Initialization("lsuv"), Data(batch_size=64))
    experiment = set_up(config, Execution(devices=1))
    images = experiment.feed.batch(0).images
    x = np.asarray(normalize(images, load("digits").info), np.float64).reshape(64, -1)
    for layer in ("dense_0", "dense_1", "head"):
        x = x @ np.asarray(experiment.initial.params[layer]["kernel"], np.float64)
        assert x.std() == pytest.approx(1.0, abs=1e-3)
        x = np.maximum(x, 0.0)


def test_lsuv_starts_from_orthonormal_kernels() -> None:
    config = TrainConfig(CifarResNet(depth=8), Initialization("lsuv"))
    recipe = make_recipe(config, INFO, 8, 4)
    state = first_state(recipe, config, INFO)
    kernel = np.asarray(state.params["stage_0"]["first"]["conv_0"]["kernel"]).reshape(-1, 16)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(16), atol=1e-5)


@pytest.mark.parametrize("scheme", STYLES)
def test_residual_styles_are_refused_where_the_network_has_no_scalars(scheme: Scheme) -> None:
    with pytest.raises(ValueError, match=f"'{scheme}' needs learned scalars.*MLP has none"):
        build_network(TrainConfig(MLP(), Initialization(scheme)), num_classes=10)


def test_a_scheme_without_departures_is_the_library_s_own() -> None:
    assert scheme_of(Initialization("mimetic")) == idinit_jax.schemes.get_scheme("mimetic")
