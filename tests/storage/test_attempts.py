"""Failed attempts in the books: each told once with its number and the day of the next, the last one support's."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from fulfillment.domain.cases import Owner
from fulfillment.domain.explanation import explain
from fulfillment.domain.invariants import Evidence, parcels
from fulfillment.domain.playbooks import Answer
from fulfillment.domain.reasons import Reason
from fulfillment.domain.record import AnswerCase
from fulfillment.domain.tracking import CarrierStatus, Scan
from fulfillment.storage.audit import AuditStore
from fulfillment.storage.tables import cases, order_events, outbox, shipments, signals
from tests.storage.house import MORNING, NUMBER, House, a_scan, only

C = CarrierStatus
DAY = 24
# Reno is eight hours behind: 18:00 UTC is ten in the morning there.
TRIES = tuple(
    a_scan(C.ATTEMPTED, 10 + n * DAY, code=f"try {n}", reason=Reason.CONSIGNEE_NOT_HOME) for n in range(4)
)
AGAIN_ON = ["2026-11-24", "2026-11-25"]


@pytest.fixture
def house(engine: Engine) -> House:
    house = House(engine).stocked()
    house.shipped()
    return house


def report(house: House, *scans: Scan) -> None:
    """Let a carrier report scans, an hour after the last of them."""
    latest = max(scan.occurred_at for scan in scans)
    house.time = max(house.time, latest + timedelta(hours=1))
    for scan in scans:
        house.shipping.scanned("SO-1-P1", (scan,), None, source="asked")


def told(house: House) -> list[tuple[str, int, Any]]:
    rows = sorted(house.rows(outbox), key=lambda row: row["notification_id"])
    news = [row for row in rows if row["fact"] in ("failed_attempt", "last_attempt")]
    return [(row["fact"], row["version"], row["data"].get("again_on")) for row in news]


def open_cases(house: House) -> list[str]:
    return [row["kind"] for row in house.rows(cases) if row["state"] != "resolved"]


def check_told(house: House) -> None:
    evidence = Evidence(books=AuditStore(house.engine, house.now).books())
    assert parcels.attempts_told.judge(evidence).violations == []


def test_each_attempt_is_told_once_with_its_number_and_the_day_of_the_next(house: House) -> None:
    for scan in TRIES[:3]:
        report(house, scan)
        report(house, scan)
        check_told(house)

    assert told(house) == [
        *(("failed_attempt", n, day) for n, day in enumerate(AGAIN_ON, start=1)),
        ("last_attempt", 3, None),
    ]
    texts = [row["text"] for row in house.rows(order_events) if row["data"].get("attempt")]
    assert texts[0] == (
        "The carrier tried once to deliver your parcel and could not; it comes again on Tuesday, November 24."
    )
    assert len(house.rows(signals, name="milestone")) == 3


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_p50_the_same_attempts_in_any_order_tell_no_number_twice(
    house: House, order: tuple[int, ...]
) -> None:
    """Attacks: the number is that of all scans kept. Counting what arrives, a repeated scan is an attempt."""
    house.wait(timedelta(days=4))

    for n in (*order, *order):
        house.shipping.scanned("SO-1-P1", (TRIES[n],), None, source="asked")
        check_told(house)

    numbers = [number for _, number, _ in told(house)]
    assert len(numbers) == len(set(numbers))
    assert numbers[-1] == 3
    assert open_cases(house) == ["last_attempt"]


def test_one_attempt_in_two_vocabularies_is_one(house: House) -> None:
    ours = TRIES[0]
    theirs = a_scan(C.ATTEMPTED, 10.4, code="DL", provider="ups", place="RENO")

    report(house, ours, theirs)

    assert [number for _, number, _ in told(house)] == [1]


def test_the_page_names_the_day_that_was_told(house: House) -> None:
    days = []
    for scan in TRIES[:2]:
        report(house, scan)
        parcel = house.views.view("SO-1").shipments[0].parcel
        days.append(parcel and parcel.again_on and parcel.again_on.isoformat())

    assert days == AGAIN_ON


def test_after_the_first_attempt_nobody_needs_to_act_and_its_due_moves_once_by_itself(house: House) -> None:
    report(house, TRIES[0])
    first = house.row(cases)
    house.time = first["due_at"]
    house.reconciliation.sweep()
    moved = house.row(cases)
    house.time = moved["due_at"]
    house.reconciliation.sweep()
    called = house.row(cases)

    assert (first["owner"], first["due_at"].isoformat()) == ("system", "2026-11-25T08:00:00+00:00")
    assert (moved["owner"], moved["due_at"].isoformat()) == ("system", "2026-11-26T08:00:00+00:00")
    assert (called["owner"], called["state"]) == ("support", "escalated")
    assert len(told(house)) == 1


def test_a_second_attempt_gets_its_own_day_and_no_other_one_by_itself(house: House) -> None:
    report(house, TRIES[0])
    report(house, TRIES[1])
    second = house.row(cases)
    house.time = second["due_at"]
    house.reconciliation.sweep()

    assert (second["owner"], second["note"]) == ("customer", "attempt 2 of 3: consignee_not_home")
    assert second["due_at"].isoformat() == "2026-11-26T08:00:00+00:00"
    assert house.row(cases)["owner"] == "support"


def test_the_last_attempt_is_supports_and_is_left_to_come_back_when_nobody_acts(house: House) -> None:
    report(house, *TRIES[:3])
    last = house.row(cases, kind="last_attempt")
    view = house.views.view("SO-1")
    house.time = last["due_at"]
    house.reconciliation.sweep()
    left = house.row(cases, kind="last_attempt")

    assert (last["owner"], last["state"]) == ("support", "waiting")
    assert last["due_at"] == house.time
    assert left["due_at"] == last["opened_at"] + timedelta(days=10)
    assert [row["name"] for row in house.rows(signals) if row["name"] == "overdue"] == []
    assert explain(view, last["opened_at"]).sentence == (
        "SO-1 waits for a word about a parcel that the carrier will not bring again "
        "(attempt 3 of 3: consignee_not_home) since 19:00. If nothing changes by Thu 26 Nov 19:00, "
        "it is left to come back, and a return that stays silent is given up as lost. Support must act."
    )


def test_a_return_that_stays_silent_is_ended_by_the_lost_clock(house: House) -> None:
    report(house, *TRIES[:3])
    house.wait(timedelta(days=10))
    house.reconciliation.silence("SO-1-P1")

    assert only(house.rows(signals, name="overdue"))["body"]["kind"] == "lost"


def test_its_news_ends_the_case_and_takes_back_what_was_not_sent(house: House) -> None:
    report(house, TRIES[0])
    report(house, a_scan(C.OUT_FOR_DELIVERY, 20))

    assert open_cases(house) == []
    assert Owner.SYSTEM.value == house.row(cases)["owner"]
    house.time = MORNING + timedelta(hours=32)  # in the morning where the customer is
    sent = {message.fact for message in house.outbox.lease(20)}
    assert "failed_attempt" not in sent
    assert house.row(outbox, fact="failed_attempt")["state"] == "withdrawn"


def test_an_attempt_that_only_a_reason_tells_is_one_and_ends_as_well(house: House) -> None:
    """Guard: without its reason, what stood before is no trouble, and its case stays open for ever."""
    report(house, a_scan(C.IN_TRANSIT, 10, reason=Reason.CONSIGNEE_NOT_HOME))
    before = open_cases(house)
    report(house, a_scan(C.IN_TRANSIT, 20, code="on"))

    assert (before, told(house)) == (["failed_attempt"], [("failed_attempt", 1, AGAIN_ON[0])])
    assert open_cases(house) == []


def test_who_has_got_another_one_hears_of_no_attempt(house: House) -> None:
    house.change(shipments, {"settled": "reship"}, shipment_id="SO-1-1")

    report(house, *TRIES[:3])

    assert told(house) == []
    assert open_cases(house) == []


def test_an_address_nobody_finds_counts_as_an_attempt_and_is_told_in_its_own_words(house: House) -> None:
    report(house, a_scan(C.ATTEMPTED, 10, reason=Reason.CONSIGNEE_INCORRECT_ADDRESS))
    before = told(house)
    report(house, TRIES[1])

    assert before == []
    assert told(house) == [("failed_attempt", 2, AGAIN_ON[1])]


def test_what_a_person_answered_a_repeated_scan_does_not_open_again(house: House) -> None:
    report(house, TRIES[0])
    house.records.answer_case(
        AnswerCase(
            order_id="SO-1",
            subject="SO-1-1",
            kind=house.views.view("SO-1").cases[0].kind,
            answer=Answer.DONE,
            by="maria",
            request_id="r-1",
            note="they will be at home",
        )
    )

    house.shipping.record_report("easypost", "evt_9", "UPS", NUMBER, TRIES[:1], None, {"id": "evt_9"})

    assert open_cases(house) == []


def test_the_audit_finds_an_attempt_that_nobody_was_told(house: House) -> None:
    report(house, *TRIES[:2])
    with house.engine.begin() as conn:
        conn.execute(outbox.delete().where(outbox.c.version == 2))

    evidence = Evidence(books=AuditStore(house.engine, house.now).books())

    assert parcels.attempts_told.judge(evidence).violations == [
        "SO-1-P1: attempt 2 was made, its customer is told of 1"
    ]
