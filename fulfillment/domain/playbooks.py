"""What is done about each kind of trouble: who acts, what is done by itself and when, what people may answer.

The table is the design's; the deeds behind it are the order's own (`workflows/playbooks.py`). Spans count from
the moment the trouble was noticed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fulfillment.domain.cases import OWNER, CaseKind, Owner
from fulfillment.domain.notifications import Fact
from fulfillment.domain.policy import Policy
from fulfillment.domain.reasons import Reason


class Deed(StrEnum):
    """What happens at a step of a playbook when nobody has acted."""

    TELL = "tell"  # the customer hears how it stands
    MAKE_GOOD = "make_good"  # another one is sent if there is one, else the money goes back
    DECIDE = "decide"  # as above where little is at stake; else the carrier's trace is waited for
    GIVE_UP = "give_up"  # it counts as lost
    COME_AGAIN = "come_again"  # the carrier gets one more working day to come
    LET_RETURN = "let_return"  # it is left to come back: a scan of its return, or the lost clock, goes on
    LEAVE = "leave"  # the order's own clocks act: they are given a moment
    ESCALATE = "escalate"  # the next owner hears of it


class Answer(StrEnum):
    """What a person may answer a case with."""

    RESHIP = "reship"
    REFUND = "refund"
    WAIT = "wait"
    REROUTE = "reroute"  # the carrier was asked to bring it elsewhere
    PICKUP = "pickup"  # the carrier was asked to keep it at a counter
    DONE = "done"  # what it asked for is done, or it was no trouble after all; the note says what came of it


# These change what is owed, so the order itself does them.
OF_THE_ORDER: Final = frozenset({Deed.MAKE_GOOD, Deed.DECIDE, Deed.GIVE_UP})

Span = Callable[[Policy], timedelta]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is done so long after the trouble was noticed; `told` is what the customer hears then."""

    after: Span
    deed: Deed
    told: Fact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """What is done about one kind of trouble. The last owner is called when the steps are through.

    `told` is what the customer hears when it is noticed; None where it is no news yet.
    """

    steps: tuple[Step, ...]
    then: Owner
    answers: frozenset[Answer] = frozenset()
    told: Fact | None = None


_GRACE: Final = timedelta(hours=1)
_K, _A, _D = CaseKind, Answer, Deed
_GOODS: Final = frozenset({_A.RESHIP, _A.REFUND, _A.WAIT})
_UNDER_WAY: Final = frozenset({_A.WAIT, _A.REROUTE, _A.DONE})
_DONE: Final = frozenset({_A.DONE})


def _person(after: Span = lambda policy: policy.support_answer_within, then: Owner = Owner.OPS) -> Playbook:
    """Return the playbook of what only a person can settle."""
    return Playbook(steps=(Step(after=after, deed=_D.ESCALATE),), then=then, answers=_DONE)


def _own_clocks(after: Span, then: Owner = Owner.SUPPORT) -> Playbook:
    """Return the playbook of what the order's own clocks settle."""
    return Playbook(steps=(Step(after=after, deed=_D.LEAVE),), then=then)


PLAYBOOKS: Final[Mapping[CaseKind, Playbook]] = MappingProxyType(
    {
        _K.PAYMENT_DECLINED: _own_clocks(lambda policy: policy.payment_retry_wait),
        _K.AUTHORIZATION_EXPIRING: _own_clocks(lambda policy: policy.authorization_lead),
        _K.FRAUD_REVIEW: _own_clocks(lambda policy: policy.hold_default_after, Owner.OPS),
        _K.OUT_OF_STOCK: _own_clocks(lambda policy: policy.ask_customer_wait),
        _K.ON_HOLD: _person(),
        _K.CAPTURE_FAILED: _person(),
        _K.REFUND_FAILED: _person(),
        _K.DISPUTE: _person(),
        # The units were sourced again at once: what is left is to count and to look at, which ends the case.
        _K.SHORT_PICK: _own_clocks(lambda policy: policy.count_within, Owner.OPS),
        _K.DAMAGED_PICK: _own_clocks(lambda policy: policy.inspection_within, Owner.OPS),
        _K.OPERATION_UNKNOWN: _person(lambda policy: policy.ops_answer_within, Owner.SUPPORT),
        _K.UNMATCHED_EVENT: _person(then=Owner.SUPPORT),
        _K.STOCK_DRIFT: _person(then=Owner.SUPPORT),
        _K.RECEIPT_LATE: _person(then=Owner.SUPPORT),
        _K.CUSTOMER_UNREACHABLE: _person(),
        # It ends with what came of it (`storage/carrier_claims.py`), which also reckons when it is due.
        _K.CARRIER_CLAIM: Playbook(
            steps=(
                Step(
                    after=lambda policy: policy.carrier_claim_within - policy.carrier_claim_lead,
                    deed=_D.ESCALATE,
                ),
            ),
            then=Owner.OPS,
        ),
        _K.CARRIER_TRACE: Playbook(
            steps=(Step(after=lambda policy: policy.support_answer_within, deed=_D.ESCALATE),), then=Owner.OPS
        ),
        _K.WEBHOOK_FAILING: _person(then=Owner.SUPPORT),
        _K.BAD_SIGNAL: _person(lambda policy: policy.bad_signal_within),
        _K.STUCK: _person(lambda policy: policy.ops_answer_within, Owner.SUPPORT),
        _K.LEFT_UNRECORDED: _person(),
        _K.CARRIER_DOWN: _person(lambda policy: policy.carrier_switch_after, Owner.SUPPORT),
        _K.LABEL_REFUSED: _person(),
        _K.RATE_EXPIRED: _own_clocks(lambda policy: policy.rate_decided_within),
        _K.WAREHOUSE_LATE: _person(then=Owner.OPS),
        # A parcel's own clock gives it up (`storage/reconciliation.py`): it knows how patient its lane is.
        _K.NO_FIRST_SCAN: Playbook(
            steps=(
                Step(after=lambda policy: policy.trace_after, deed=_D.TELL, told=Fact.SLOW),
                Step(after=lambda policy: policy.lost_after - policy.first_scan_within, deed=_D.LEAVE),
            ),
            then=Owner.SUPPORT,
            answers=_GOODS,
        ),
        _K.NO_SCAN: Playbook(
            steps=(Step(after=lambda policy: policy.lost_after - policy.scan_silence, deed=_D.LEAVE),),
            then=Owner.SUPPORT,
            answers=_GOODS,
            told=Fact.SLOW,
        ),
        _K.DELAYED: _own_clocks(lambda policy: policy.late_offer_after),
        # The books open these two with the scan of an attempt, tell of each and reckon in working days
        # (`storage/attempts.py`); these spans are those of an answer that lets it wait.
        _K.FAILED_ATTEMPT: Playbook(
            steps=(
                Step(after=lambda policy: policy.support_answer_within, deed=_D.COME_AGAIN),
                Step(after=lambda policy: policy.support_answer_within, deed=_D.ESCALATE),
            ),
            then=Owner.SUPPORT,
            answers=_UNDER_WAY | {_A.PICKUP},
        ),
        _K.LAST_ATTEMPT: Playbook(
            steps=(
                Step(after=lambda policy: policy.support_answer_within, deed=_D.LET_RETURN),
                Step(after=lambda policy: policy.lost_after, deed=_D.LEAVE),
            ),
            then=Owner.SUPPORT,
            answers=_GOODS | {_A.REROUTE, _A.PICKUP},
        ),
        _K.PICKUP_WAITING: Playbook(
            steps=(
                Step(after=lambda policy: policy.pickup_remind_after, deed=_D.TELL, told=Fact.PICKUP_WAITING),
                Step(
                    after=lambda policy: policy.pickup_hold - timedelta(days=1),
                    deed=_D.TELL,
                    told=Fact.PICKUP_WAITING,
                ),
                Step(after=lambda policy: policy.pickup_hold, deed=_D.LET_RETURN, told=Fact.NOT_COLLECTED),
                Step(after=lambda policy: policy.pickup_hold + policy.lost_after, deed=_D.LEAVE),
            ),
            then=Owner.SUPPORT,
            answers=_UNDER_WAY,
            told=Fact.PICKUP_WAITING,
        ),
        _K.CUSTOMS: Playbook(
            steps=(Step(after=lambda policy: policy.customs_wait, deed=_D.ESCALATE),),
            then=Owner.OPS,
            answers=frozenset({_A.WAIT, _A.DONE}),
            told=Fact.CUSTOMS,
        ),
        _K.ADDRESS_PROBLEM: Playbook(
            steps=(Step(after=lambda policy: policy.hold_escalate_after, deed=_D.ESCALATE),),
            then=Owner.SUPPORT,
            answers=_UNDER_WAY,
            told=Fact.ADDRESS_PROBLEM,
        ),
        _K.CARRIER_PROBLEM: Playbook(
            steps=(Step(after=lambda policy: policy.support_answer_within, deed=_D.ESCALATE),),
            then=Owner.OPS,
            answers=_GOODS | _UNDER_WAY,
        ),
        _K.DAMAGED: Playbook(
            steps=(Step(after=lambda policy: policy.damage_decided_within, deed=_D.MAKE_GOOD),),
            then=Owner.SUPPORT,
            answers=_GOODS | _DONE,
        ),
        _K.LOST: Playbook(
            steps=(Step(after=lambda _: timedelta(0), deed=_D.MAKE_GOOD),),
            then=Owner.SUPPORT,
            answers=frozenset({_A.RESHIP, _A.REFUND}),
        ),
        _K.RETURN_TO_SENDER: Playbook(
            steps=(
                Step(after=lambda policy: policy.return_answer_within, deed=_D.LEAVE),
                Step(after=lambda policy: policy.rts_wait, deed=_D.GIVE_UP),
            ),
            then=Owner.SUPPORT,
            answers=_GOODS | {_A.REROUTE},
            told=Fact.RETURNING,
        ),
        _K.REFUSED: Playbook(
            steps=(Step(after=lambda policy: policy.rts_wait, deed=_D.GIVE_UP),),
            then=Owner.SUPPORT,
            answers=_GOODS,
            told=Fact.REFUSED,
        ),
        _K.NOT_RECEIVED: Playbook(
            steps=(
                Step(after=lambda policy: policy.not_received_wait, deed=_D.DECIDE),
                Step(after=lambda policy: policy.not_received_wait + policy.trace_wait, deed=_D.MAKE_GOOD),
            ),
            then=Owner.SUPPORT,
            answers=_GOODS | _DONE,
            told=Fact.NOT_RECEIVED,
        ),
    }
)


# What only the customer has, when customs ask for it.
_ONLY_THE_CUSTOMER_HAS: Final = frozenset(
    {Reason.CUSTOMS_DUTIES_UNPAID, Reason.CONSIGNEE_VERIFICATION_FAILED}
)


def first_owner(kind: CaseKind, note: str) -> Owner:
    """Return who must act first: of customs, the customer where they want a duty or an identity."""
    asked = kind is CaseKind.CUSTOMS and note in _ONLY_THE_CUSTOMER_HAS
    return Owner.CUSTOMER if asked else OWNER[kind]


def told_first(kind: CaseKind, note: str) -> Fact | None:
    """Return what the customer hears when it is noticed; None where it is no news yet."""
    asked = kind is CaseKind.CUSTOMS and first_owner(kind, note) is Owner.CUSTOMER
    return Fact.CUSTOMS_ASKED if asked else PLAYBOOKS[kind].told


def last_day(kind: CaseKind, opened_at: datetime, policy: Policy) -> datetime | None:
    """Return until when the customer may act, where the carrier waits for them."""
    return opened_at + policy.pickup_hold if kind is CaseKind.PICKUP_WAITING else None


def due_at(kind: CaseKind, noticed_at: datetime, policy: Policy) -> datetime:
    """Return when the first step of a playbook is due."""
    return noticed_at + PLAYBOOKS[kind].steps[0].after(policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is done about a case now, and how it stands then."""

    deed: Deed
    step: int
    due_at: datetime
    owner: Owner
    told: Fact | None = None


def at_due(
    kind: CaseKind, step: int, *, opened_at: datetime, owner: Owner, now: datetime, policy: Policy
) -> Due:
    """Return what a case whose time has come asks for; `step` is how many steps were done before."""
    steps = PLAYBOOKS[kind].steps
    if step >= len(steps) or steps[step].deed is Deed.ESCALATE:
        again = now + policy.support_answer_within
        return Due(deed=Deed.ESCALATE, step=step, due_at=again, owner=_called_after(kind, owner))
    this, done, at_least = steps[step], step + 1, now + _GRACE
    due = opened_at + steps[done].after(policy) if done < len(steps) else at_least
    return Due(deed=this.deed, step=done, due_at=max(due, at_least), owner=owner, told=this.told)


def _called_after(kind: CaseKind, owner: Owner) -> Owner:
    if owner in (OWNER[kind], Owner.SYSTEM):
        return PLAYBOOKS[kind].then
    return OWNER[kind] if owner is Owner.CUSTOMER else owner  # asked first, where it is not theirs by itself


def why_not(kind: CaseKind, answer: Answer) -> str | None:
    """Return why a case of this kind cannot be answered so, and how it can; None when it can."""
    allowed = PLAYBOOKS[kind].answers
    if answer in allowed:
        return None
    if not allowed:
        return f"{kind} takes no answer: the order settles it by itself, or with a verb of its own."
    return f"{kind} cannot be answered with {answer}, only with {', '.join(sorted(allowed))}."
