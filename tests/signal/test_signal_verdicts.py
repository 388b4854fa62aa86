"""Verdicts on networks that are broken in known ways, and on healthy ones."""

import jax
import pytest
import signal_zoo as zoo

from idinit_jax import signal
from idinit_jax.signal.diagnose import diagnose_with
from idinit_jax.signal.meter import Meter

pytestmark = pytest.mark.usefixtures("quick_compilation")

METERS: dict[object, Meter] = {}


def verdict_of(network: zoo.Network) -> signal.Verdict:
    shapes = str(jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), network.values))
    meter = METERS.get((network.model, shapes))
    if meter is None:
        meter = signal.make_meter(
            network.model, network.values, *network.inputs, call_kwargs=network.call_kwargs
        )
        METERS[network.model, shapes] = meter
    return diagnose_with(meter, network.values, network.inputs)[1]


@pytest.mark.parametrize("name", zoo.BROKEN)
def test_a_broken_network_is_called_by_its_illness(name: str) -> None:
    make, problem = zoo.BROKEN[name]
    verdict = verdict_of(make())
    assert problem in [finding.problem for finding in verdict.findings], str(verdict)


@pytest.mark.parametrize("name", zoo.HEALTHY)
def test_a_healthy_network_is_not_called_broken(name: str) -> None:
    verdict = verdict_of(zoo.HEALTHY[name]())
    assert verdict.healthy, str(verdict)
