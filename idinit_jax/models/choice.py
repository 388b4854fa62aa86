"""Refusing an unknown name or size, with the nearest valid one in the message."""

import difflib
from collections.abc import Iterable


def check_name(field: str, given: str, allowed: Iterable[str]) -> None:
    """Raise ValueError unless ``given`` is one of ``allowed``.

    Args:
        field: what is being chosen, for the message.
        given: the user's choice.
        allowed: the valid names.

    Raises:
        ValueError: names ``given``, the nearest valid name and all valid names.

    >>> check_name("norm", "bacth", ("batch", "layer", "none"))
    Traceback (most recent call last):
    ValueError: norm 'bacth' is unknown; did you mean 'batch'? Valid: 'batch', 'layer', 'none'
    """
    names = tuple(allowed)
    if given in names:
        return
    nearest = difflib.get_close_matches(str(given), names, n=1, cutoff=0.0)[0]
    valid = ", ".join(map(repr, names))
    raise ValueError(f"{field} {given!r} is unknown; did you mean {nearest!r}? Valid: {valid}")
