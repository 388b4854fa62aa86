"""Every statement of a row can fail: one that is changed does, in one of the row's experiments."""

import re

import pytest
from applications.every import EVERY, experiments
from mutants import mutants
from theorems import violations

from idinit_jax.tracing.table import TABLE

# Mutants that no experiment tells from the row: operation, pattern, reason.
SURVIVORS = [
    ("is_finite", "0: (start|stride)", "steps of finite numbers stay finite"),
    ("eq", "0: 0 where", "equal numbers are seldom drawn"),
    ("nextafter", ".*", "what the second operand changes is less than rounding"),
    ("igammac", "0: 0 where", "holds at the pole"),
    ("igamma_grad_a", "0: (0 where|range)", "holds at the pole; negative where it was run"),
    ("regularized_incomplete_beta", "0: (0 where|range)", "holds at the pole; never near 1"),
    ("zeta", "0: range", "positive where it was run"),
    ("scatter", "0: (degree 0|sign 1) in 2 too", "a function of the operand reads no updates"),
    ("reduce", ".*", "any function: the one that was run has more to it"),
    ("argmax", "0: 0 where", "of equal entries the first is taken, at position 0"),
    ("argmin", "0: 0 where", "of equal entries the first is taken, at position 0"),
    ("cholesky_update", "0: sign 1", "rotations know no sign; the table does not say so"),
    ("eig", "0: sign", "how signs come out is the library's choice"),
    ("geqp3|geqrf|hessenberg|tridiagonal", "[0-3]: sign", "signs are the library's choice"),
    ("geqp3|geqrf|hessenberg|tridiagonal|lu", "[0-3]: 0 where", "so are factors of 0"),
    ("geqp3|geqrf|hessenberg|tridiagonal", "[1-3]: range", "lengths of reflectors, pivots"),
    ("qr|svd", "[0-2]: sign", "how signs come out is the library's choice"),
    ("ormqr", "0: .* (in|of) 2|0: 0 where", "a product with a matrix: the table does not say so"),
    ("symmetric_product", "0: sign 1", "a product of two: the table does not say so"),
    ("custom_linear_solve", "0: .* in [0-3] (too|of.*)|0: locally", "functions that are not run"),
    ("random_(bits|clone|fold_in|seed|split|wrap)", "0: range", "words are seldom 0"),
    ("rng_bit_generator|threefry2x32", "[01]: range", "words are seldom 0"),
    ("custom", "0: .*1( too)?", "only a derivative reads the second operand"),
    ("empty", "0: range", "what is in the memory"),
]


@pytest.mark.parametrize("operation", sorted(EVERY))
def test_mutants_of_a_row_die(operation: str) -> None:
    alive = survivors(operation)
    known = [pattern for names, pattern, _ in SURVIVORS if re.fullmatch(names, operation)]
    assert not [name for name in alive if not any(re.match(p, name) for p in known)]
    assert all(any(re.match(p, name) for name in alive) for p in known), "none left of these"


def survivors(operation: str) -> list[str]:
    """Mutants, by output and change, that live through every experiment that has them."""
    killed: dict[str, bool] = {}
    for experiment in experiments(operation):
        for index in range(len(experiment.base)):
            law = TABLE[operation](experiment.applied(index))
            for change, mutant in mutants(law, experiment):
                dies = next(violations(mutant, experiment, index), None) is not None
                name = f"{index}: {change}"
                killed[name] = killed.get(name, False) or dies
    return [name for name, dies in killed.items() if not dies]
