"""What the demo proves at its end: every scenario as it had to end, the books as a whole, and the audit."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from devstack.board import needs_a_person
from devstack.endings import Ending
from devstack.scenarios import Scenario
from fulfillment.domain.cases import CaseKind
from fulfillment.domain.invariants.check import Check, Verdict
from fulfillment.domain.invariants.facts import Books, Ledger
from fulfillment.domain.inventory import SET_ASIDE, Movement
from fulfillment.domain.notifications import Fact, NotificationState
from fulfillment.domain.order import ENDED
from fulfillment.domain.view import OrderView

_NAMED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the proof, short enough for a terminal; `claim` says what must hold, `why` what is wrong."""

    verdict: Verdict
    text: str
    why: tuple[str, ...] = ()
    claim: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.verdict is not Verdict.FAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Survived:
    """What was done to the stack on purpose, and how often it came back."""

    worker_kills: int = 0
    database_stops: int = 0
    temporal_stops: int = 0
    returned: int = 0

    @property
    def asked(self) -> int:
        """How many blows there were."""
        return self.worker_kills + self.database_stops + self.temporal_stops

    def __str__(self) -> str:
        words = [
            _many(self.worker_kills, "worker kill"),
            _many(self.database_stops, "database stop"),
            _many(self.temporal_stops, "Temporal stop"),
        ]
        return ", ".join(word for word in words if not word.startswith("0"))


def line(passed: bool, text: str, *why: str) -> Line:
    """Return a line that passes or fails."""
    return Line(verdict=Verdict.PASS if passed else Verdict.FAIL, text=text, why=why)


# --- who says what ---------------------------------------------------------------------------------------


def endings(
    views: Iterable[OrderView],
    books: Books,
    ledger: Ledger,
    said: Mapping[str, Any],
    notes: Iterable[tuple[str, str]],
) -> dict[str, Ending]:
    """Return what came of each order. `said` is the ledger's own JSON, `notes` are orders with what was seen."""
    notes = tuple(notes)
    return {view.order.order_id: _ending(view, books, ledger, said, notes) for view in views}


def _ending(
    view: OrderView, books: Books, ledger: Ledger, said: Mapping[str, Any], notes: Sequence[tuple[str, str]]
) -> Ending:
    order_id = view.order.order_id
    mails, mine = _mails(order_id, said), {part.shipment_id for part in view.shipments}
    return Ending(
        view=view,
        cases=frozenset(CaseKind(case.kind) for case in books.cases if case.order_id == order_id),
        mails=mails,
        overtaken=_overtaken(order_id, books, mails),
        payments=tuple(payment for payment in ledger.payments if payment.order_id == order_id),
        labels=tuple(label for label in ledger.labels if label.reference.startswith(f"{order_id}:")),
        rejections=tuple(one for one in books.rejections if one.shipment_id in mine),
        faults=frozenset(
            fault["kind"] for fault in said["faults"] if fault["match"].get("order") == order_id
        ),
        notes=tuple(note for about, note in notes if about == order_id),
    )


def _mails(order_id: str, said: Mapping[str, Any]) -> dict[str, datetime]:
    """Return when the mail server took the first mail about each fact."""
    mails: dict[str, datetime] = {}
    for mail in said["messages"]:
        order, _, rest = str(mail["id"]).strip("<>").partition(".")
        if order == f"order-{order_id}":
            mails.setdefault(rest.partition(".")[0], datetime.fromisoformat(mail["at"]))
    return mails


def _overtaken(order_id: str, books: Books, mails: Mapping[str, datetime]) -> frozenset[str]:
    """Return that a parcel left, where its customer heard first that it had arrived."""
    withdrawn = {
        message.fact
        for message in books.messages
        if message.order_id == order_id and message.state == NotificationState.WITHDRAWN
    }
    return frozenset({Fact.SHIPPED.value} & withdrawn) if Fact.DELIVERED in mails else frozenset()


# --- what it proves --------------------------------------------------------------------------------------


def of_scenarios(scenarios: Iterable[Scenario], ended: Mapping[str, Ending]) -> list[Line]:
    """Return a line for each scenario."""
    return [_of_scenario(scenario, ended.get(scenario.order_id)) for scenario in scenarios]


def _of_scenario(scenario: Scenario, ending: Ending | None) -> Line:
    wrong = scenario.complaints(ending) if ending else ("was never placed",)
    return line(not wrong, f"{scenario.order_id} {scenario.name}: {scenario.ends}", *wrong)


def of_the_whole(
    wanted: Sequence[str], ended: Mapping[str, Ending], books: Books, ledger: Ledger, survived: Survived
) -> list[Line]:
    """Return the lines about all orders together."""
    return [
        _everyone_is_there(wanted, ended),
        _cards(ended),
        _messages(ledger, survived),
        _stock(books),
        _survival(survived),
    ]


def is_there(view: OrderView) -> bool:
    """Test whether an order has an end, or waits for somebody."""
    return view.status in ENDED or needs_a_person(view)


def _everyone_is_there(wanted: Sequence[str], ended: Mapping[str, Ending]) -> Line:
    missing = [name for name in wanted if name not in ended or not is_there(ended[name].view)]
    text = f"{_many(len(wanted) - len(missing), 'order')} in a final or waiting state"
    return line(not missing, text, *(f"not there: {name}" for name in missing))


def _cards(ended: Mapping[str, Ending]) -> Line:
    twice = [name for name, ending in ended.items() if ending.charged_twice]
    never = sum(ending.captured == 0 for ending in ended.values())
    once = len(ended) - len(twice) - never
    text = f"{_many(once, 'card')} charged once, {len(twice)} twice, {never} never"
    return line(not twice, text, *(f"charged twice: {name}" for name in twice))


def _messages(ledger: Ledger, survived: Survived) -> Line:
    """A mail whose answer was lost is sent again under its Message-ID: for the customer it is the same one."""
    ids: dict[str, set[str]] = {}
    for mail in ledger.messages:
        ids.setdefault(mail.fact, set()).add(mail.message_id)
    twice = [fact for fact, found in ids.items() if len(found) > 1]
    again = [mail.fact for mail in ledger.messages if mail.accepted > 1]
    note = f"; {len(again)} repeated under its own Message-ID after a lost answer" if again else ""
    wrong = [*twice, *(again if not survived.asked else ())]
    return line(not wrong, f"{_many(len(ids), 'message')}, each sent once{note}", *wrong[:_NAMED])


def _stock(books: Books) -> Line:
    moved: Counter[str] = Counter()
    for movement in books.movements:
        moved[movement.kind] += abs(movement.reserved) + abs(movement.allocated)
    claimed = moved[Movement.RESERVED] + moved[Movement.ALLOCATED_FROM_STOCK]
    shipped = moved[Movement.SHIPPED]
    let_go = moved[Movement.RESERVATION_RELEASED] + moved[Movement.ALLOCATION_RELEASED]
    set_aside = sum(moved[kind] for _, kind in SET_ASIDE.values())
    still = sum(row.quantity for row in books.allocations if row.state == "active")
    still += sum(row.quantity for row in books.reservations if row.state == "active")
    parts = [
        (shipped, "shipped"),
        (let_go, "let go"),
        (set_aside, "set aside"),
        (still, "still allocated"),
    ]
    told = " + ".join(f"{count} {word}" for count, word in parts if count) or "0"
    return line(claimed == sum(count for count, _ in parts), f"stock: {claimed} claimed = {told}")


def _survival(survived: Survived) -> Line:
    if not survived.asked:
        return Line(verdict=Verdict.NONE, text="nothing was killed or stopped")
    missing = survived.asked - survived.returned
    why = (f"{missing} of them did not come back",) if missing > 0 else ()
    return line(not why, f"survived: {survived}", *why)


def of_the_audit(checks: Sequence[Check]) -> list[Line]:
    """Return a line for each check of the audit, and its sum."""
    violations = sum(len(check.violations) for check in checks)
    total = line(not violations, f"audit: {len(checks)} invariants, {_many(violations, 'violation')}")
    return [*map(_of_check, checks), total]


def _of_check(check: Check) -> Line:
    seen = (
        f"{check.looked_at} {check.sees}"
        if check.verdict is not Verdict.NONE
        else f"no {check.sees} to look at"
    )
    return Line(
        verdict=check.verdict,
        text=f"{check.name}: {seen}",
        why=check.violations[:_NAMED],
        claim=check.claim,
    )


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
