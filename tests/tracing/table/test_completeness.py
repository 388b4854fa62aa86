"""Every primitive of the installed JAX has a row, or it is said why it has none."""

import sys

from applications.every import EVERY
from jax.extend import core
from jax.extend.core import primitives

from idinit_jax.tracing.table import PROGRAMS, TABLE, UNKNOWN

# Rows without an experiment, and why there is none.
UNTESTED = {
    "from_edtype": "types of random keys and of quantized numbers",
    "to_edtype": "types of random keys and of quantized numbers",
    "layout_constraint": "a layout in memory",
    "mesh_cast": "meshes with explicit axes",
    "pin": "references to memory",
    "unpin": "references to memory",
    "with_memory_space_constraint": "inside Pallas",
    "xla_metadata_value": "metadata for the compiler",
    "shard_alike": "two arrays that are sharded alike",
    "tie": "made by transformations alone",
    "pbroadcast": "not on the CPU",
    "ragged_all_to_all": "not on the CPU",
    "all_gather_reduced": "sums that are not yet reduced need explicit meshes",
    "preduced": "sums that are not yet reduced need explicit meshes",
    "reduced_vary_cast_p": "sums that are not yet reduced need explicit meshes",
    "vary_unreduced_cast_p": "sums that are not yet reduced need explicit meshes",
    "reduced_vary_cast": "sums that are not yet reduced need explicit meshes",
    "vary_unreduced_cast": "sums that are not yet reduced need explicit meshes",
    "unreduced_pmax": "maxima that are not yet reduced need explicit meshes",
    "unreduced_pmin": "maxima that are not yet reduced need explicit meshes",
    "pbroadcast_dynamic": "not on the CPU",
    "relayout": "a layout in memory",
    "unreduced_psum": "sums that are not yet reduced need explicit meshes",
    "unreduced_reduce_scatter": "sums that are not yet reduced need explicit meshes",
    "select_and_scatter": "no rule to make it but for maxima, which have their own",
    "empty2": "as `empty`, inside of scans",
    "iota_2x32_shape": "made while random bits are lowered",
    "philox2x32": "another generator",
    "philox4x32": "another generator",
    "threefry4x32": "another generator",
}


_OWN_LANGUAGES = ("jax._src.pallas", "jax._src.thunky")


def _installed() -> set[str]:
    """The names of all primitives in modules of JAX that are loaded; Pallas has its own."""
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("jax._src.") and not name.startswith(_OWN_LANGUAGES)
    ]
    values = [value for module in modules for value in list(vars(module).values())]
    return {value.name for value in values if isinstance(value, core.Primitive)}


def test_every_primitive_has_a_row_or_a_reason() -> None:
    assert primitives.add_p.name in _installed()
    assert not sorted(_installed() - {*TABLE, *PROGRAMS, *UNKNOWN})


def test_no_primitive_is_listed_twice() -> None:
    assert not {*TABLE} & PROGRAMS
    assert not {*TABLE} & {*UNKNOWN}
    assert not PROGRAMS & {*UNKNOWN}


def test_every_row_has_an_experiment_or_a_reason() -> None:
    """Some rows are of primitives that the installed JAX does not have."""
    assert {*EVERY} | {*UNTESTED} <= {*TABLE}
    assert not {*EVERY} & {*UNTESTED}
    assert not ({*TABLE} - {*EVERY} - {*UNTESTED}) & _installed()
