"""The same model under several schemes: the same rows side by side."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax

from idinit_jax.calibration import lsuv_calibrate
from idinit_jax.schemes import Scheme, get_scheme, initialize
from idinit_jax.signal.diagnose import diagnose_with
from idinit_jax.signal.meter import Loss, Meter, unit_noise
from idinit_jax.signal.rows import SignalReport
from idinit_jax.signal.verdict import Verdict
from idinit_jax.tracing import Traced, traced, traced_with
from idinit_jax.tracing.frameworks import takes_parameters, with_named
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
    candidates = candidates if isinstance(candidates, Mapping) else tuple(candidates)
    if not candidates:
        raise ValueError("no candidates; give schemes such as ['he', 'idinit'], or values by name")
    if isinstance(candidates, Mapping):
        known = traced_with(model, next(iter(candidates.values())), inputs, call_kwargs)
        batch, _ = with_named(inputs, call_kwargs)
        starts = ((str(name), values) for name, values in candidates.items())
    else:
        known = traced(model, inputs, call_kwargs)
        batch = batch_of(model, inputs, call_kwargs)
        key = jax.random.key(0) if key is None else key
        starts = starts_by(candidates, known, key, batch)
    return compare_with(Meter(known, loss), starts, batch, targets)


def compare_with(
    meter: Meter,
    starts: Iterable[tuple[str, PyTree]],
    batch: tuple[PyTree, ...],
    targets: tuple[PyTree, ...] = (),
) -> Comparison:
    """Measure one start after another, as an NNX module can hold only one at a time."""
    found = {name: diagnose_with(meter, values, batch, targets) for name, values in starts}
    return Comparison(
        {name: report for name, (report, _) in found.items()},
        {name: verdict for name, (_, verdict) in found.items()},
    )


def starts_by(
    schemes: Iterable[str | Scheme], model: Traced, key: jax.Array, batch: tuple[PyTree, ...]
) -> Iterator[tuple[str, PyTree]]:
    """(name, values) of every scheme, each made when it is asked for."""
    for scheme in map(get_scheme, schemes):
        yield scheme.name, start(model, key, batch, scheme)


def start(model: Traced, key: jax.Array, batch: tuple[PyTree, ...], scheme: str | Scheme) -> PyTree:
    """`initialize`, and for "lsuv" its second half on the same batch: the rescaling."""
    values = initialize(model, key, scheme=scheme, overwrite=True)
    if get_scheme(scheme).name != "lsuv":
        return values
    return lsuv_calibrate(model, values, *batch).values


def batch_of(
    model: Any, inputs: tuple[PyTree, ...], call_kwargs: Mapping[str, Any]
) -> tuple[PyTree, ...]:
    """What `measure` wants of what `initialize` wants: without a function's parameter tree."""
    given = inputs[1:] if takes_parameters(model) else inputs
    return with_named(given, call_kwargs)[0]
