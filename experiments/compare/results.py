"""What a run leaves for the report, and its form on disk: JSON."""

import math
from typing import Any, NamedTuple


class Curve(NamedTuple):
    """Training over epochs; each point is the mean over the batches since the one before it."""

    epoch: tuple[float, ...] = ()
    loss: tuple[float | None, ...] = ()
    accuracy: tuple[float | None, ...] = ()


class Divergence(NamedTuple):
    """Where the first value that is not finite came from, and at which update."""

    step: int
    layer: str
    reason: str


class Movement(NamedTuple):
    """What training did to the kernels of one role.

    Args:
        role: of the kernels.
        kernels: how many there are.
        changed: share of their entries that differ from their first values at all.
        rank: of the update, over its smaller side: mean over the kernels, in 0 .. 1.
        effective_rank: likewise, of (sum s^2)^2 / sum s^4 for singular values s.
    """

    role: str
    kernels: int
    changed: float
    rank: float
    effective_rank: float


class Cost(NamedTuple):
    """What depends on the clock and the machine, and on nothing else."""

    seconds: float | None
    images_per_second: float | None
    machine: str
    commit: str


class Training(NamedTuple):
    """A run.

    Args:
        accuracy: at the end, on the images that its kind is evaluated on; None if it diverged.
        loss: likewise.
        initial_loss: of the first batch.
        images_an_epoch: that the run trained on.
        curve: of training.
        held_out: epochs, losses and accuracies of the evaluations.
        movement: of a final run.
        divergence: if it diverged.
        cost: of the run.
    """

    accuracy: float | None
    loss: float | None
    initial_loss: float | None
    images_an_epoch: float | None
    curve: Curve
    held_out: Curve
    movement: tuple[Movement, ...]
    divergence: Divergence | None
    cost: Cost


class Signal(NamedTuple):
    """The first batch at the start of a run.

    Args:
        loss: of the batch.
        gradient_norm: of all parameters together.
        dead: share of parameters whose gradient is exactly zero.
        places: kernels and residual sums on the main path, in forward order.
        variance: of the activation at each place.
        gradient: norm of the loss's gradient at each place.
        cost: of the measurement.
    """

    loss: float | None
    gradient_norm: float | None
    dead: float
    places: tuple[str, ...]
    variance: tuple[float | None, ...]
    gradient: tuple[float | None, ...]
    cost: Cost


Result = Training | Signal


def to_plain(value: Any) -> Any:
    """Nested named tuples as dictionaries of JSON's types; what is not finite becomes None.

    >>> to_plain(Curve((1.0,), (math.inf,), (0.5,)))
    {'epoch': [1.0], 'loss': [None], 'accuracy': [0.5]}
    """
    fields = getattr(value, "_fields", None)
    if fields is not None:
        return {name: to_plain(getattr(value, name)) for name in fields}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def training_from(plain: dict[str, Any]) -> Training:
    """The inverse of `to_plain`."""
    divergence = plain["divergence"]
    return Training(
        **plain
        | {
            "curve": _rows(Curve, plain["curve"]),
            "held_out": _rows(Curve, plain["held_out"]),
            "movement": tuple(Movement(**role) for role in plain["movement"]),
            "divergence": None if divergence is None else Divergence(**divergence),
            "cost": Cost(**plain["cost"]),
        }
    )


def signal_from(plain: dict[str, Any]) -> Signal:
    """The inverse of `to_plain`."""
    return _rows(Signal, plain)._replace(cost=Cost(**plain["cost"]))


def _rows(kind: Any, plain: dict[str, Any]) -> Any:
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()})
