"""How a parameter's numbers change before they meet the data, as far as that is scale and shift."""

from collections.abc import Sequence

from idinit_jax.tracing import operations
from idinit_jax.tracing.lineage import Lineage


def after(operation: str, single: Lineage, known: Sequence[float | None]) -> Lineage:
    """A lineage after one operation; `known` are the operands that are numbers, None for others.

    Scaling and shifting by numbers is kept, anything else forgets the numbers.
    """
    if operation in ("rsqrt", "sqrt"):
        return single._replace(root=True, affine=False)
    if operation in operations.REARRANGEMENTS:
        return single
    number = next((value for value in known if value is not None), None)
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
    if operation == "div" and known[0] is None:
        return single._replace(factor=single.factor / number, offset=single.offset / number)
    return single._replace(affine=False)
