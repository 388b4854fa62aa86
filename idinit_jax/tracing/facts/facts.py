"""What is known of every value of a program, and what follows from it when it is asked."""

from collections.abc import Iterable

from idinit_jax.tracing.facts.composition import Composition
from idinit_jax.tracing.facts.relation import Relation, Span
from idinit_jax.tracing.facts.uses import Use
from idinit_jax.tracing.facts.values import Assumed
from idinit_jax.tracing.program.flatten import StraightLine


class Facts(Composition):
    """The facts of a program: what norms, kernels and factors have made of each value."""

    def __init__(self, line: StraightLine, assumed: Assumed) -> None:
        super().__init__(line, assumed)
        self._features: dict[int, frozenset[Span]] = {}

    def forget(self) -> None:
        super().forget()
        self._features.clear()

    def normalized_by(self, value: int) -> list[int]:
        """Roots whose size the value does not depend on, since a statistic of them divides it."""
        return [
            root
            for root, degree in (self.degrees[value] or {}).items()
            if degree == 0 and self.relation(value, root).gone
        ]

    def is_probability(self, value: int) -> bool:
        """Whether a value is not negative and divided by a sum of what is not negative."""
        return self._is_positive(value) and any(map(self._is_positive, self.normalized_by(value)))

    def _is_positive(self, value: int) -> bool:
        low, high = self.interval(value)
        return low >= 0 and high > 0

    def is_normalized(self, value: int) -> bool:
        """Whether a norm has set the size of a value, by its own statistic or by a running one."""
        degree = self.degrees[value] or {}
        if any(root in self.line.state and power in (-0.5, -1) for root, power in degree.items()):
            return True
        norms = [root for root in self.normalized_by(value) if not self._weighs(root)]
        return bool(norms) and not self.is_probability(value)

    def _weighs(self, value: int) -> bool:
        """Whether a value is positive everywhere, like what a softmax divides by its sum."""
        law = self.law(value)
        positive = law is not None and not law.scaling and not law.vanishing
        return positive and self._is_positive(value)

    def features(self, value: int) -> frozenset[Span]:
        """Digits of a value that kernels produced."""
        pending = [value]
        while pending:
            here = pending[-1]
            if here in self._features:
                pending.pop()
                continue
            roots = self._roots_of(here)
            missing = [root for root in roots if root not in self._features and root < here]
            pending.extend(missing)
            if not missing:
                self._features[here] = self._features_from(here, roots)
                pending.pop()
        return self._features[value]

    def _roots_of(self, value: int) -> list[int]:
        use = self.use_of(value)
        if use is not None:
            return [use.signal]
        return self.roots_before(value) if self.is_root(value) else list(self.degrees[value] or ())

    def use_of(self, value: int) -> Use | None:
        """The use of kernels that makes a value."""
        producer = self.line.producers[value]
        return None if producer is None else self.uses.get(producer)

    def _features_from(self, value: int, roots: list[int]) -> frozenset[Span]:
        use = self.use_of(value)
        if use is not None:
            return self._features_of_use(use)
        return frozenset(
            span
            for root in roots
            if self._features.get(root)
            for span in self.relation(value, root).carried(self._features[root])
        )

    def _features_of_use(self, use: Use) -> frozenset[Span]:
        """What the kernel brings, and what it leaves alone of the signal's, such as members."""
        shape = self.line.shapes[use.output]
        own = {Span(dim, 1, shape[dim]) for dim in use.how.features}
        law = self.law(use.output)
        held = self._features.get(use.signal, frozenset()) | self.factors_along(use.signal)
        move = law.moves.get(self.line.nodes[use.node].inputs.index(use.signal)) if law else None
        return frozenset(own.union(Relation(move or ()).carried(held)))

    def factors_along(self, value: int) -> frozenset[Span]:
        """Digits along which the factors of a signal vary, such as members."""
        roots = list(self.degrees[value] or ())
        factors = [root for root in roots if not self.is_signal(root)]
        return self.varying(value, factors) if len(factors) < len(roots) else frozenset()

    def varying(self, value: int, roots: Iterable[int]) -> frozenset[Span]:
        """Digits of a value along which some of its roots vary."""
        return frozenset().union(*(self.relation(value, root).own_spans for root in roots))
