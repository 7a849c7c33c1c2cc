"""The fold: one state from a set of scans, however they arrived; ends that only corrections take back."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulfillment.domain.corrections import CORRECTABLE_TO, CorrectionRefused, CorrectTracking
from fulfillment.domain.reasons import Reason
from fulfillment.domain.tracking import (
    ENDED,
    RANK,
    CarrierStatus,
    Flag,
    Scan,
    ScanSource,
    Standing,
    Tracked,
    fold,
    reason_of,
    standings,
)

C = CarrierStatus
MORNING = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
NOW = MORNING + timedelta(hours=72)
TOLERANCE = timedelta(minutes=15)


def scan(status: C | None, hours: float, **changes: Any) -> Scan:
    at = MORNING + timedelta(hours=hours)
    return Scan(**{"status": status, "occurred_at": at, "code": str(status or "note")} | changes)


def correction(status: C, hours: float, **changes: Any) -> Scan:
    by_staff = {"source": ScanSource.STAFF, "correction": True, "by": "ann", "why": "she called"}
    return scan(status, hours, **by_staff | changes)


def folded(*scans: Scan, now: datetime = NOW) -> Tracked:
    return fold(scans, now=now, future_tolerance=TOLERANCE)


# Few times and few places, so that scans meet in the same minute and one scan is told in different words.
SCANS = st.builds(
    scan,
    st.one_of(st.none(), st.sampled_from(list(C))),
    st.sampled_from([1, 2, 3, 100]),
    code=st.sampled_from(["a", "b"]),
    place=st.sampled_from(["", "Reno"]),
    flag=st.one_of(st.none(), st.sampled_from(list(Flag))),
    reason=st.one_of(st.none(), st.sampled_from([Reason.UNKNOWN, Reason.WEATHER_DELAY])),
    text=st.sampled_from(["", "Refused"]),
    source=st.sampled_from(list(ScanSource)),
    correction=st.booleans(),
)


@given(st.lists(SCANS, min_size=2, max_size=6), st.data())
@settings(max_examples=300, deadline=None)
def test_p47_any_order_and_repetition_of_the_same_scans_is_the_same_state(
    scans: list[Scan], data: st.DataObject
) -> None:
    repeated = data.draw(st.lists(st.sampled_from(scans), max_size=6))
    shuffled = data.draw(st.permutations([*scans, *repeated]))

    assert folded(*shuffled) == folded(*scans)
    assert standings(shuffled, now=NOW, future_tolerance=TOLERANCE) == standings(
        scans, now=NOW, future_tolerance=TOLERANCE
    )


@given(st.lists(SCANS, min_size=1, max_size=6), SCANS)
@settings(max_examples=300, deadline=None)
def test_p47_an_end_is_left_only_by_a_correction_by_a_parcel_found_or_by_one_that_comes_back(
    scans: list[Scan], later: Scan
) -> None:
    last = Scan(**{name: getattr(later, name) for name in Scan.__slots__} | {"occurred_at": NOW})
    before, after = folded(*scans), folded(*scans, last)

    if before.status in ENDED and after.status is not before.status:
        found = before.status in (C.LOST, C.CANCELLED) and last.status is not None
        came_back = before.status is C.DELIVERED and last.status in (C.RETURN_TO_SENDER, C.RETURNED)
        assert last.correction or found or came_back


def test_all_orders_of_a_real_journey_with_a_correction_are_one_state() -> None:
    journey = (
        scan(C.PICKED_UP, 2),
        scan(C.OUT_FOR_DELIVERY, 30, flag=Flag.DELAYED),
        scan(C.DELIVERED, 33, place="Denver"),
        correction(C.IN_TRANSIT, 34),
        scan(C.ATTEMPTED, 50, reason=Reason.CONSIGNEE_NOT_HOME),
        scan(C.DELIVERED, 55, place="Boulder"),
    )

    states = {folded(*order) for order in itertools.permutations(journey)}

    (state,) = states
    assert (state.status, state.place) == (C.DELIVERED, "Boulder")
    assert state.delivered_at == MORNING + timedelta(hours=55)


def test_one_scan_told_in_two_ways_counts_once_whichever_came_first() -> None:
    bare, full = scan(None, 2, code="x"), scan(C.ATTEMPTED, 2, code="x", text="Nobody was home")

    assert folded(bare, full) == folded(full, bare) == folded(full)


def test_a_parcel_scanned_in_transit_after_delivery_stays_delivered() -> None:
    state = folded(scan(C.DELIVERED, 5), scan(C.IN_TRANSIT, 9), scan(C.DELIVERED, 12))

    assert (state.status, state.delivered_at) == (C.DELIVERED, MORNING + timedelta(hours=5))


def test_tries_in_turn_are_no_step_back() -> None:
    assert folded(scan(C.ATTEMPTED, 5), scan(C.IN_TRANSIT, 9)).status is C.IN_TRANSIT


@pytest.mark.parametrize("end", sorted(ENDED))
@pytest.mark.parametrize("to", sorted(CORRECTABLE_TO))
def test_staff_take_back_any_end(end: C, to: C) -> None:
    assert folded(scan(end, 5), correction(to, 6)).status is to


@pytest.mark.parametrize("end", sorted(ENDED - {C.DELIVERED}))
def test_a_carrier_takes_back_nothing_but_its_delivery(end: C) -> None:
    taken_back = correction(C.PRE_TRANSIT, 6, source=ScanSource.CARRIER)

    assert folded(scan(end, 5), taken_back).status is end
    assert folded(scan(C.DELIVERED, 5), taken_back).status is C.PRE_TRANSIT


def test_a_correction_is_about_what_was_said_until_its_moment() -> None:
    said, put_right = scan(C.DELIVERED, 5), correction(C.ATTEMPTED, 5)

    assert RANK[C.ATTEMPTED] < RANK[C.DELIVERED]
    assert folded(put_right, said).status is C.ATTEMPTED


def test_a_correction_takes_the_trouble_off_a_parcel() -> None:
    damaged = scan(C.IN_TRANSIT, 5, flag=Flag.DAMAGED, reason=Reason.CARRIER_DAMAGED_PARCEL)

    state = folded(damaged, correction(C.IN_TRANSIT, 6))

    assert (state.flags, state.reason) == (frozenset(), None)


def test_every_scan_says_what_it_counts_for() -> None:
    delivered, late, early = scan(C.DELIVERED, 5), scan(C.IN_TRANSIT, 9), scan(C.ATTEMPTED, 99)

    stand = standings([late, early, delivered, delivered], now=NOW, future_tolerance=TOLERANCE)

    assert stand == {
        delivered: Standing.FOLDED,
        late: Standing.AFTER_END,
        early: Standing.SET_ASIDE,
    }


def test_a_scan_from_the_future_joins_when_its_time_comes() -> None:
    early = scan(C.DELIVERED, 73)

    assert folded(early).status is C.PRE_TRANSIT
    assert folded(early, now=NOW + timedelta(minutes=45)).status is C.DELIVERED


@pytest.mark.parametrize(
    ("later", "left"),
    [
        (scan(C.IN_TRANSIT, 9), set()),
        (scan(C.OUT_FOR_DELIVERY, 9), set()),
        (scan(None, 9), {Flag.CUSTOMS}),
        (scan(C.IN_TRANSIT, 9, flag=Flag.DELAYED), {Flag.CUSTOMS, Flag.DELAYED}),
    ],
)
def test_a_parcel_that_moves_again_is_past_customs(later: Scan, left: set[Flag]) -> None:
    held = scan(C.IN_TRANSIT, 5, flag=Flag.CUSTOMS)

    assert folded(held, later).flags == left


def test_one_instant_written_in_two_zones_is_one_scan() -> None:
    here = scan(C.IN_TRANSIT, 5)
    there = Scan(
        status=C.IN_TRANSIT,
        code="in_transit",
        occurred_at=here.occurred_at.astimezone(tz=datetime.fromisoformat("2026-01-01T00:00+09:00").tzinfo),
    )

    assert here.digest("UPS", "1Z") == there.digest("UPS", "1Z")


def test_a_parcel_that_comes_back_passes_depots_and_still_comes_back() -> None:
    back = [scan(C.RETURN_TO_SENDER, 10), scan(C.IN_TRANSIT, 20), scan(C.PICKED_UP, 30)]

    assert folded(*back).status is C.RETURN_TO_SENDER
    assert folded(*back, scan(C.OUT_FOR_DELIVERY, 40)).status is C.OUT_FOR_DELIVERY
    assert folded(*back, correction(C.IN_TRANSIT, 40)).status is C.IN_TRANSIT


@pytest.mark.parametrize(
    ("word", "reason"),
    [("", None), ("weather_delay", Reason.WEATHER_DELAY), ("a word of another time", Reason.UNKNOWN)],
)
def test_a_reason_nobody_knows_is_unknown_and_not_none(word: str, reason: Reason | None) -> None:
    assert reason_of(word) is reason


@pytest.mark.parametrize("status", [C.UNKNOWN, C.PRE_TRANSIT, C.CANCELLED])
def test_nobody_corrects_a_parcel_to_what_only_its_label_can_say(status: C) -> None:
    with pytest.raises(CorrectionRefused, match="choose one of"):
        asked(status=status)


def test_a_correction_says_why() -> None:
    with pytest.raises(CorrectionRefused, match="say why"):
        asked(reason="  ")


def asked(**changes: Any) -> CorrectTracking:
    return CorrectTracking(
        **{
            "order_id": "SO-1",
            "parcel_id": "SO-1-P1",
            "status": C.IN_TRANSIT,
            "reason": "she called",
            "by": "ann",
            "request_id": "r-1",
        }
        | changes
    )
