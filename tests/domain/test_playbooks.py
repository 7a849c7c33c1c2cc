"""Every kind of trouble: who acts, what happens when nobody does, what may be answered."""

from datetime import UTC, datetime, timedelta

import pytest

from fulfillment.domain.cases import OWNER, CaseKind, Owner
from fulfillment.domain.notifications import Fact
from fulfillment.domain.playbooks import OF_THE_ORDER, PLAYBOOKS, Answer, Deed, Due, at_due, due_at, why_not
from fulfillment.domain.policy import DEFAULT

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
K, D = CaseKind, Deed
MOST_STEPS = 10

# What happens to goods in trouble by itself, step by step, and who is called then.
GOODS = {
    K.NO_FIRST_SCAN: ([D.TELL, D.LEAVE], Owner.WAREHOUSE),
    K.NO_SCAN: ([D.LEAVE], Owner.SUPPORT),
    K.FAILED_ATTEMPT: ([D.COME_AGAIN], Owner.SUPPORT),
    K.LAST_ATTEMPT: ([D.LET_RETURN, D.LEAVE], Owner.SUPPORT),
    K.PICKUP_WAITING: ([D.TELL, D.TELL, D.LET_RETURN, D.LEAVE], Owner.SUPPORT),
    K.ADDRESS_PROBLEM: ([], Owner.SUPPORT),
    K.CUSTOMS: ([], Owner.OPS),
    K.DAMAGED: ([D.MAKE_GOOD], Owner.SUPPORT),
    K.LOST: ([D.MAKE_GOOD], Owner.SUPPORT),
    K.RETURN_TO_SENDER: ([D.LEAVE, D.GIVE_UP], Owner.SUPPORT),
    K.REFUSED: ([D.GIVE_UP], Owner.SUPPORT),
    K.NOT_RECEIVED: ([D.DECIDE, D.MAKE_GOOD], Owner.SUPPORT),
}


def lived(kind: CaseKind) -> list[Due]:
    """Return what happens to a case that nobody answers, until its next owner is called."""
    now, step, owner, steps = due_at(kind, NOON, DEFAULT), 0, OWNER[kind], []
    while len(steps) < MOST_STEPS:
        due = at_due(kind, step, opened_at=NOON, owner=owner, now=now, policy=DEFAULT)
        steps.append(due)
        if due.deed is D.ESCALATE:
            return steps
        assert due.due_at > now
        now, step, owner = due.due_at, due.step, due.owner
    raise AssertionError(f"{kind} never calls anybody")


@pytest.mark.parametrize("kind", CaseKind)
def test_a_case_of_every_kind_that_nobody_answers_calls_its_next_owner_and_reminds(kind: CaseKind) -> None:
    called = lived(kind)[-1]

    again = at_due(kind, called.step, opened_at=NOON, owner=called.owner, now=called.due_at, policy=DEFAULT)

    assert called.owner is not Owner.SYSTEM
    assert called.owner is not OWNER[kind] or PLAYBOOKS[kind].then is OWNER[kind]
    assert again.deed is D.ESCALATE
    assert again.owner is called.owner
    assert again.due_at == called.due_at + DEFAULT.support_answer_within


@pytest.mark.parametrize("kind", GOODS)
def test_goods_in_trouble_go_their_way_by_themselves(kind: CaseKind) -> None:
    steps, then = GOODS[kind]

    came = lived(kind)

    assert [due.deed for due in came[:-1]] == steps
    assert came[-1].owner is (PLAYBOOKS[kind].then if then is Owner.WAREHOUSE else then)


def test_who_does_not_pick_up_hears_of_it_after_two_days_and_on_the_last_day_but_one() -> None:
    first = due_at(K.PICKUP_WAITING, NOON, DEFAULT)
    reminders = [due for due in lived(K.PICKUP_WAITING) if due.told is Fact.PICKUP_WAITING]

    assert first == NOON + timedelta(days=2)
    assert [due.due_at for due in reminders] == [NOON + timedelta(days=6), NOON + timedelta(days=7)]


def test_a_sweep_that_comes_late_leaves_time_between_two_steps() -> None:
    late = NOON + timedelta(days=60)

    due = at_due(K.NOT_RECEIVED, 0, opened_at=NOON, owner=Owner.SUPPORT, now=late, policy=DEFAULT)

    assert due.due_at > late


@pytest.mark.parametrize("kind", [kind for kind in CaseKind if PLAYBOOKS[kind].told])
def test_what_the_customer_is_told_they_or_somebody_can_answer(kind: CaseKind) -> None:
    assert PLAYBOOKS[kind].answers


def test_only_kinds_about_goods_are_made_good_by_anybody() -> None:
    made_good = {kind for kind in CaseKind if Answer.REFUND in PLAYBOOKS[kind].answers}
    by_itself = {kind for kind in CaseKind if {step.deed for step in PLAYBOOKS[kind].steps} & OF_THE_ORDER}

    assert by_itself <= made_good
    assert K.ON_HOLD not in made_good
    assert K.DELAYED not in made_good


@pytest.mark.parametrize("kind", CaseKind)
def test_a_wrong_answer_is_refused_with_those_that_are_right(kind: CaseKind) -> None:
    for answer in Answer:
        said = why_not(kind, answer)
        assert (said is None) == (answer in PLAYBOOKS[kind].answers)
        assert said is None or all(right in said for right in PLAYBOOKS[kind].answers)
