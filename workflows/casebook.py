"""The open cases of one order, as its workflow knows them."""

from datetime import datetime

from fulfillment.domain.cases import Case, CaseKind, attention
from fulfillment.domain.playbooks import due_at
from fulfillment.domain.policy import Policy
from fulfillment.domain.reasons import trouble_of
from fulfillment.domain.record import OpenCase, ResolveCase
from workflows import steps

_K = CaseKind
# The deed that places a hold, or hears the bank's no, tells of them; so does the one that ends it.
_COME_AND_GO_WITH_HOLDS = (_K.PAYMENT_DECLINED, _K.FRAUD_REVIEW, _K.OUT_OF_STOCK, _K.ON_HOLD)


class Casebook:
    """Opens and ends cases; the most urgent one is the order's Attention."""

    def __init__(self, order_id: str) -> None:
        self._order_id = order_id
        self._open: dict[tuple[str, CaseKind], Case] = {}
        self._ended: set[str] = set()  # by id: the books may have been read before

    @property
    def cases(self) -> tuple[Case, ...]:
        """The open cases, oldest first."""
        return tuple(self._open.values())

    @property
    def attention(self) -> CaseKind | None:
        """The kind of the most urgent one."""
        return attention(self._open.values())

    def stands(self, subject: str, *kinds: CaseKind) -> bool:
        """Test whether a case of one of these kinds is open about `subject`."""
        return any((subject, kind) in self._open for kind in kinds)

    def asks_another(self, subject: str, kind: CaseKind, reason: str) -> bool:
        """Test whether the open case of this kind is for another reason than this one, which is one of its own."""
        case = self._open.get((subject, kind))
        return case is not None and case.note != reason and trouble_of(reason) is kind

    def take_over(self, cases: tuple[Case, ...]) -> None:
        """Take over what the books opened beside the workflow; what ended since they were read stays ended."""
        for case in cases:
            if case.kind not in _COME_AND_GO_WITH_HOLDS and case.case_id not in self._ended:
                self._open[case.subject, case.kind] = case

    async def open(
        self, subject: str, kind: CaseKind, *, now: datetime, policy: Policy, note: str = ""
    ) -> None:
        """Open a case, due as its playbook says; a second detection joins the first."""
        if not self.stands(subject, kind):
            due = due_at(kind, now, policy)
            self._open[subject, kind] = await steps.open_case(
                OpenCase(order_id=self._order_id, subject=subject, kind=kind, due_at=due, note=note)
            )

    def joined(
        self, subject: str, kind: CaseKind, *, now: datetime, due_at: datetime, note: str = ""
    ) -> None:
        """Note a case that a deed opened together with its fact."""
        case_id = f"{subject}:{kind}"
        self._open[subject, kind] = Case(
            case_id=case_id, kind=kind, subject=subject, opened_at=now, due_at=due_at, note=note
        )

    def over(self, subject: str, kind: CaseKind) -> None:
        """Note that the books ended a case beside the workflow."""
        self._end(subject, kind)

    def drop(self, subject: str, kind: CaseKind) -> None:
        """Let go of a case that some news does not name. It may be older than the case: later news brings it back."""
        self._open.pop((subject, kind), None)

    def _end(self, subject: str, kind: CaseKind) -> Case | None:
        if case := self._open.pop((subject, kind), None):
            self._ended.add(case.case_id)
        return case

    async def resolve(self, subject: str, *kinds: CaseKind, resolution: str) -> None:
        """End the cases of these kinds about `subject`, where there are any."""
        for kind in kinds:
            if self._end(subject, kind):
                await steps.resolve_case(
                    ResolveCase(order_id=self._order_id, subject=subject, kind=kind, resolution=resolution)
                )
