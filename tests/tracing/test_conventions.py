"""The list of conventions speaks of the code as it is; `switch_off.py` shows what holds each."""

import switch_off


def test_every_convention_is_found_in_the_code():
    names = [switch.name for switch in switch_off.conventions()]
    assert len(names) == len(set(names)) >= 100
