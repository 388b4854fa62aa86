"""The same model under several schemes: the same rows side by side."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax

from idinit_jax.calibration import lsuv_calibrate
from idinit_jax.schemes import Scheme, get_scheme, initialize
from idinit_jax.signal.diagnose import diagnose_with
from idinit_jax.signal.meter import Loss, Meter, is_function, make_meter, unit_noise
from idinit_jax.signal.rows import SignalReport
from idinit_jax.signal.verdict import Verdict
from idinit_jax.tracing.program import PyTree


class Comparison(NamedTuple):
    """Measurements of one model on one batch, by the name of what it started from.

    Attributes:
        reports: one a candidate; all have the same rows.
        verdicts: likewise.
    """

    reports: dict[str, SignalReport]
    verdicts: dict[str, Verdict]

    def __str__(self) -> str:
        from idinit_jax.signal.table import format_comparison

        return format_comparison(self)


def compare(
    candidates: Mapping[str, PyTree] | Iterable[str | Scheme],
    model: Any,
    *inputs: PyTree,
    key: jax.Array | None = None,
    loss: Loss = unit_noise,
    targets: tuple[PyTree, ...] = (),
    call_kwargs: Mapping[str, Any] = {},
) -> Comparison:
    """Measure a model from several starts, with one compiled program.

    Args:
        candidates: values by name, or schemes, with which the model is then initialized.
        model: see `measure`; an NNX module ends up with the last candidate's values.
        *inputs: a batch; for a function and schemes its parameter tree comes first.
        key: for the schemes, by default `jax.random.key(0)`: the same for all.
        loss, targets, call_kwargs: see `measure`.

    Raises:
        ValueError: no candidates, or an unknown scheme.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> model = nn.Sequential([nn.Dense(32), nn.relu, nn.Dense(32), nn.relu, nn.Dense(8)])
    >>> found = compare(["he", "xavier"], model, jax.random.normal(jax.random.key(0), (16, 32)))
    >>> {name: verdict.healthy for name, verdict in found.verdicts.items()}
    {'he': True, 'xavier': True}
    """
    key = jax.random.key(0) if key is None else key
    reports, verdicts = {}, {}
    meter: Meter | None = None
    for name, values in _starts(candidates, model, inputs, key, call_kwargs):
        batch = inputs if isinstance(candidates, Mapping) else batch_of(model, values, inputs)
        meter = meter or make_meter(model, values, *batch, loss=loss, call_kwargs=call_kwargs)
        reports[name], verdicts[name] = diagnose_with(meter, values, batch, targets)
    if not reports:
        raise ValueError("no candidates; give schemes such as ['he', 'idinit'], or values by name")
    return Comparison(reports, verdicts)


def _starts(
    candidates: Mapping[str, PyTree] | Iterable[str | Scheme],
    model: Any,
    inputs: tuple[PyTree, ...],
    key: jax.Array,
    call_kwargs: Mapping[str, Any],
) -> Iterable[tuple[str, PyTree]]:
    """One start after another, as an NNX module can hold only one at a time."""
    if isinstance(candidates, Mapping):
        for name, values in candidates.items():
            yield str(name), values
        return
    for name in candidates:
        candidate = get_scheme(name)
        yield candidate.name, start(model, key, *inputs, scheme=candidate, call_kwargs=call_kwargs)


def start(
    model: Any,
    key: jax.Array,
    *inputs: PyTree,
    scheme: str | Scheme,
    call_kwargs: Mapping[str, Any] = {},
) -> PyTree:
    """`initialize`, and for "lsuv" its second half on the same batch: the rescaling."""
    values = initialize(model, key, *inputs, scheme=scheme, call_kwargs=call_kwargs, overwrite=True)
    if get_scheme(scheme).name != "lsuv":
        return values
    batch = batch_of(model, values, inputs)
    return lsuv_calibrate(model, values, *batch, call_kwargs=call_kwargs).values


def batch_of(model: Any, values: PyTree, inputs: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
    """What `measure` wants of what `initialize` wants: a function's parameters go before it."""
    return inputs[1:] if is_function(model, values) else inputs
