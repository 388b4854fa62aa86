"""What is found in a network does not depend on how the network is spelled.

Every spelling of a network is held to what is known of the network, so any two agree.
"""

from collections import Counter

from gallery.entry import Entry, differences
from hypothesis import given, settings
from spelled.programs import NETWORKS
from spelled.spellings import SPELLINGS, Branch, X, write


def branches(graph):
    found: Counter[Branch] = Counter()
    for one in graph.residuals:
        assert one.shortcut_kernels == ()
        on_it = (one.branch_kernels, one.tails, one.scales)
        found[Branch(*map(frozenset, on_it))] += one.repeats
    return found


@settings(max_examples=100)
@given(NETWORKS, SPELLINGS)
def test_spelling_changes_nothing(network, spelling):
    written = write(network, spelling)
    residuals = len(network.blocks) * network.turns
    entry = Entry(written.apply, (written.params, X), written.expected, residuals)
    graph = entry.trace()
    assert differences(graph, entry) == []
    assert branches(graph) == written.branches
    assert {one.path: (one.fan_in, one.fan_out) for one in graph.kernels} == written.fans
    for one in graph.kernels:
        assert set(one.layer_roles) <= {one.role}
