"""Which cases only the carrier's news opens and ends, and which the goods' own fate does."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.settlement import Cause

_K = CaseKind
ENDED_BY_A_SCAN: Final = (_K.NO_FIRST_SCAN, _K.NO_SCAN)
# The books open and end them together with the scan; its news names the one that stands.
BY_THE_BOOKS: Final = (_K.FAILED_ATTEMPT, _K.LAST_ATTEMPT)
# They stand as long as the news says so, and end with it.
STAND_WITH_THE_NEWS: Final = (
    _K.PICKUP_WAITING,
    _K.ADDRESS_PROBLEM,
    _K.CUSTOMS,
    _K.CARRIER_PROBLEM,
    _K.RETURN_TO_SENDER,
    _K.REFUSED,
)
# Nothing is over while one of these is to be decided, wherever the parcel is.
UNDECIDED: Final = (_K.DAMAGED, _K.LOST, _K.NOT_RECEIVED)
# What they ask is answered once the customer has got another one, or their money.
ABOUT_THE_GOODS: Final = frozenset(
    {
        *UNDECIDED,
        *ENDED_BY_A_SCAN,
        *BY_THE_BOOKS,
        _K.PICKUP_WAITING,
        _K.RETURN_TO_SENDER,
        _K.REFUSED,
        _K.DELAYED,
        _K.CARRIER_PROBLEM,
    }
)
# Nobody expects a scan of what waits so: its silence is no news, and promises nobody another one.
NO_SCAN_EXPECTED: Final = (_K.LAST_ATTEMPT, _K.PICKUP_WAITING, _K.CUSTOMS)
# Why something is made good when this is answered: each kind that may be has one, and says no more than is known.
CAUSE: Final[Mapping[CaseKind, Cause]] = MappingProxyType(
    {
        _K.NO_FIRST_SCAN: Cause.SILENT,
        _K.NO_SCAN: Cause.SILENT,
        _K.CARRIER_PROBLEM: Cause.CARRIER_PROBLEM,
        _K.LOST: Cause.LOST,
        _K.DAMAGED: Cause.DAMAGED,
        _K.NOT_RECEIVED: Cause.NOT_RECEIVED,
        _K.RETURN_TO_SENDER: Cause.RETURNING,
        _K.REFUSED: Cause.REFUSED,
        _K.LAST_ATTEMPT: Cause.NOT_BROUGHT,
    }
)
