"""Checkpoints of a run: saved in the background, the last few and the best kept, damage refused."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from experiments.step import TrainState


class Restored(NamedTuple):
    """The newest sound checkpoint, and one sentence for each newer one that was refused."""

    state: TrainState
    refused: list[str]


class Checkpoints:
    """The checkpoints of one run, a directory for each saved step.

    A checkpoint holds the state and the CRC-32 of its bytes, because the storage format lets a
    flipped bit in an array pass. A partial one has another directory name until it is complete, and
    is never looked at. Nothing damaged is deleted: it is moved to ``damaged/`` beside the others.

    Args:
        directory: of the checkpoints.
        keep_last: how many of the newest are kept, besides the one of the best accuracy.
    """

    def __init__(self, directory: Path, keep_last: int) -> None:
        best = preservation_policy.BestN(
            get_metric_fn=_accuracy, n=1, keep_checkpoints_without_metrics=False
        )
        last = preservation_policy.LatestN(keep_last)
        keep = preservation_policy.AnyPreservationPolicy([last, best])
        options = ocp.CheckpointManagerOptions(preservation_policy=keep)
        self._directory = directory.absolute()
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    def save(self, step: int, state: TrainState, accuracy: float | None = None) -> None:
        """Start to save, unless this step is saved already; the state's memory may be reused."""
        if step in self._manager.all_steps():
            return
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            digest=ocp.args.JsonSave({"crc32": digest(state)}),
        )
        metrics = None if accuracy is None else {"accuracy": accuracy}
        self._manager.save(step, args=items, metrics=metrics)

    def restore(self, initial: TrainState) -> Restored:
        """The newest sound checkpoint, placed like ``initial``; ``initial`` where there is none."""
        refused = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                return Restored(self._read(step, initial), refused)
            except Exception as error:  # what a damaged file raises depends on where it is damaged
                moved = self._set_aside(step)
                reason = str(error).splitlines()[0][:200]
                refused.append(
                    f"checkpoint {self._directory / str(step)} is damaged: {reason}; "
                    f"it was not used, and moved to {moved}"
                )
        return Restored(initial, refused)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.wait_until_finished()
        self._manager.close()

    def _read(self, step: int, like: TrainState) -> TrainState:
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
        )
        items = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(shapes), digest=ocp.args.JsonRestore()
            ),
        )
        if digest(items["state"]) != items["digest"]["crc32"]:
            raise ValueError("its arrays do not match the CRC-32 that was saved with them")
        return items["state"]

    def _set_aside(self, step: int) -> Path:
        target = self._directory.parent / "damaged" / str(step)
        target.parent.mkdir(exist_ok=True)
        while target.exists():
            target = target.with_name(target.name + "-again")
        (self._directory / str(step)).rename(target)
        self._manager.reload()
        return target


def digest(state: TrainState) -> int:
    """CRC-32 over the bytes of all arrays, in the order of the tree."""
    crc = 0
    for leaf in jax.tree.leaves(state):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        values = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        crc = zlib.crc32(values.tobytes(), crc)
    return crc


def _accuracy(metrics: Mapping[str, Any]) -> float:
    return metrics["accuracy"]
