"""How a parameter's numbers change before they meet the data, as far as that is scale and shift."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from idinit_jax.tracing import operations
from idinit_jax.tracing.lineage import Lineage

# Functions that do not map zero to zero, and those that do.
_BENDING = frozenset(("exp", "exp2", "log", "log1p", "logistic", "cos", "erfc", "nonlinearity"))
_BENT_AWAY_FROM_ZERO = operations.ENTRYWISE - operations.ARITHMETIC - operations.REARRANGEMENTS


def after(
    operation: str, single: Lineage, known: Sequence[float | None], mask: Any = None
) -> Lineage:
    """A lineage after one operation; `known` are the operands that are numbers, None for others.

    Scaling and shifting by numbers is kept, and scaling by a constant array, the `mask`, for the
    mean square that it leaves; anything else forgets the numbers.
    """
    if operation == "mul" and mask is not None and single.affine and not single.offset:
        factor = single.factor * math.sqrt(np.mean(np.square(mask)))
        return single._replace(factor=factor, affine=False, masked=True)
    if operation not in operations.REARRANGEMENTS:
        single = single._replace(masked=False)
    if operation in ("rsqrt", "sqrt"):
        return single._replace(root=True, affine=False)
    if operation in operations.REARRANGEMENTS:
        return single
    number = next((value for value in known if value is not None), None)
    if operation in _BENDING or (operation in _BENT_AWAY_FROM_ZERO and single.offset):
        return single._replace(affine=False, bent=True)
    if operation == "neg":
        return single._replace(factor=-single.factor, offset=-single.offset)
    if number is None or operation not in operations.ARITHMETIC:
        return single._replace(affine=False)
    if operation == "mul":
        return single._replace(factor=single.factor * number, offset=single.offset * number)
    if operation == "add":
        return single._replace(offset=single.offset + number)
    if operation == "sub" and known[0] is None:
        return single._replace(offset=single.offset - number)
    if operation == "sub":
        return single._replace(factor=-single.factor, offset=number - single.offset)
    if operation == "div" and known[0] is None:
        return single._replace(factor=single.factor / number, offset=single.offset / number)
    return single._replace(affine=False)
