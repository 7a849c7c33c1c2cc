"""Which trouble the state of a parcel is."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.reasons import trouble_of
from fulfillment.domain.tracking import CarrierStatus, Flag

_K = CaseKind
_OF_STATUS: Final[Mapping[CarrierStatus, CaseKind]] = MappingProxyType(
    {
        CarrierStatus.ATTEMPTED: _K.FAILED_ATTEMPT,
        CarrierStatus.AVAILABLE_FOR_PICKUP: _K.PICKUP_WAITING,
        CarrierStatus.RETURN_TO_SENDER: _K.RETURN_TO_SENDER,
        CarrierStatus.CANCELLED: _K.CARRIER_PROBLEM,
    }
)
# A reason says more than the status it comes with, but not why a parcel waits at a counter.
_SAYS_MORE: Final[Mapping[CarrierStatus, Collection[CaseKind]]] = MappingProxyType(
    {
        CarrierStatus.ATTEMPTED: (_K.ADDRESS_PROBLEM, _K.REFUSED),
        CarrierStatus.RETURN_TO_SENDER: (_K.REFUSED,),
        CarrierStatus.AVAILABLE_FOR_PICKUP: (),
        CarrierStatus.CANCELLED: (),
    }
)
_OF_FLAG: Final[Mapping[Flag, CaseKind]] = MappingProxyType(
    {Flag.DAMAGED: _K.DAMAGED, Flag.CUSTOMS: _K.CUSTOMS, Flag.ON_HOLD: _K.CARRIER_PROBLEM}
)


def troubles(status: CarrierStatus, flags: Collection[Flag], reason: str) -> frozenset[CaseKind]:
    """Return the cases that the state of a parcel under way is; a delay is none before it moves the promise."""
    named = trouble_of(reason)
    if Flag.CUSTOMS in flags and status is not CarrierStatus.ATTEMPTED and named is _K.FAILED_ATTEMPT:
        named = None  # it is customs who could not verify somebody
    if (usual := _OF_STATUS.get(status)) is not None:
        named = named if named in _SAYS_MORE[status] else usual
    of_flags = {_OF_FLAG[flag] for flag in flags if flag in _OF_FLAG}
    if _K.CUSTOMS in of_flags:
        of_flags.discard(_K.CARRIER_PROBLEM)  # customs is who holds it
    return frozenset(of_flags | {named} if named else of_flags)
