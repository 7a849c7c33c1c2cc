"""What a check is: what it looked at, what it found broken, and what to do then."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from fulfillment.domain.invariants.facts import Evidence


class Verdict(StrEnum):
    """What came of a check. One that looked at nothing proves nothing."""

    PASS = "PASS"
    FAIL = "FAIL"
    NONE = "NONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of one invariant; `sees` is what it counts, `claim` what must hold for each of them."""

    name: str
    invariant: str
    looked_at: int
    sees: str
    claim: str
    violations: tuple[str, ...]
    remedy: str
    note: str = ""
    books_are_empty: bool = False

    @property
    def verdict(self) -> Verdict:
        """Whether it holds. Empty books break nothing."""
        if self.violations:
            return Verdict.FAIL
        return Verdict.PASS if self.looked_at or self.books_are_empty else Verdict.NONE


@dataclass(frozen=True, slots=True)
class Found:
    """How many facts were looked at, and a sentence for each that is wrong."""

    looked_at: int
    violations: Iterable[str]
    note: str = ""


Judge = Callable[[Evidence], Found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """A rule that must hold, as a function of the evidence."""

    name: str
    ids: str
    sees: str
    claim: str
    remedy: str
    judge: Judge

    def __call__(self, evidence: Evidence) -> Check:
        """Judge the evidence."""
        found = self.judge(evidence)
        return Check(
            name=self.name,
            invariant=self.ids,
            looked_at=found.looked_at,
            sees=self.sees,
            claim=self.claim,
            violations=tuple(found.violations),
            remedy=self.remedy,
            note=found.note,
            books_are_empty=not evidence.books.orders,
        )


def invariant(name: str, ids: str, *, sees: str, claim: str, remedy: str) -> Callable[[Judge], Invariant]:
    """Name a rule; `ids` are its numbers among the invariants of the domain."""

    def named(judge: Judge) -> Invariant:
        return Invariant(name=name, ids=ids, sees=sees, claim=claim, remedy=remedy, judge=judge)

    return named
