"""The words for what happens: all that is written down has one, and says what it means."""

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.events import MEANING, EventKind
from fulfillment.domain.order import Outcome
from fulfillment.domain.playbooks import PLAYBOOKS
from fulfillment.domain.tracking import CarrierStatus, Flag

_NEVER_NEWS = {CarrierStatus.UNKNOWN, CarrierStatus.PRE_TRANSIT}


def words() -> set[str]:
    return {kind.value for kind in EventKind}


def test_every_kind_says_what_happened() -> None:
    assert set(MEANING) == set(EventKind)
    assert len(set(MEANING.values())) == len(EventKind)


def test_whatever_a_carrier_reports_has_its_word() -> None:
    reported = {status.value for status in set(CarrierStatus) - _NEVER_NEWS} | {flag.value for flag in Flag}

    assert reported <= words()


def test_every_case_of_which_a_customer_hears_has_its_word() -> None:
    heard: set[CaseKind] = {
        kind for kind, book in PLAYBOOKS.items() if book.told or any(step.told for step in book.steps)
    }

    assert {kind.value for kind in heard} <= words()


def test_every_end_of_an_order_that_is_no_delivery_has_its_word() -> None:
    assert {Outcome.CANCELLED.value, Outcome.EXPIRED.value, Outcome.REJECTED.value} <= words()
