"""Units on the shelf that may not be promised: damaged, doubted, or not found until they are counted."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, Engine

from fulfillment.domain.inventory import (
    RESTOCK,
    SCRAP,
    SET_ASIDE,
    CannotRegrade,
    Condition,
    Deed,
    Grade,
    Movement,
)
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.storage import shortfall
from fulfillment.storage.movements import Place
from fulfillment.storage.stock import Receipt, change, check_place, served


class ConditionStore:
    """What state units are in. Every deed has a key; under a key that was used nothing changes."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now, self._policy = engine, now, policy

    def regrade(
        self,
        sku: str,
        location_id: str,
        units: int,
        of: Grade,
        to: Grade,
        *,
        key: str,
        by: str,
        reason: str,
        shipment_id: str | None = None,
    ) -> Receipt:
        """Take units for something else than before; raises as `set_aside`, `restock` and `scrap` do.

        Raises:
            CannotRegrade: there is no such way, or the units are not a shipment's to begin with.
        """
        conditions = {Grade(condition.value): condition for condition in Condition}
        if of is Grade.FREE and to in conditions:
            return self.set_aside(
                sku,
                location_id,
                units,
                conditions[to],
                key=key,
                by=by,
                reason=reason,
                shipment_id=shipment_id,
            )
        if shipment_id is None and of is Grade.FREE and to is Grade.SCRAP:
            return self._leave_free(Movement.SCRAPPED, (sku, location_id), units, self._deed(key, by, reason))
        if shipment_id is None and of in conditions and to is Grade.FREE:
            return self.restock(sku, location_id, units, conditions[of], key=key, by=by, reason=reason)
        if shipment_id is None and of in conditions and to is Grade.SCRAP:
            return self.scrap(sku, location_id, units, conditions[of], key=key, by=by, reason=reason)
        raise CannotRegrade(sku, of, to)

    def set_aside(
        self,
        sku: str,
        location_id: str,
        units: int,
        condition: Condition,
        *,
        key: str,
        by: str,
        reason: str,
        shipment_id: str | None = None,
    ) -> Receipt:
        """Promise these units no more. They come from what is free, or out of the claim of one shipment.

        Where fewer are free, the youngest claims are released and wait again; so do the units of that shipment.

        Raises:
            UnknownSku, UnknownLocation, UnknownShipment: there is no such thing.
            InsufficientStock: there are not that many on the shelf, or the shipment claims fewer.
            PackedAlready: what would be missing is in closed parcels.
        """
        place, deed = (sku, location_id), self._deed(key, by, reason)
        free, claimed = SET_ASIDE[condition]
        if shipment_id is None:
            return self._leave_free(free, place, units, deed)
        with self._engine.begin() as conn:
            check_place(conn, place)
            shortfall.take_from(conn, place, shipment_id, units, claimed, deed, policy=self._policy)
        return served(self._engine, place, deed)

    def restock(
        self,
        sku: str,
        location_id: str,
        units: int,
        condition: Condition,
        *,
        key: str,
        by: str,
        reason: str,
    ) -> Receipt:
        """Put units of this condition back among what may be promised; those who wait are served.

        Raises:
            UnknownSku, UnknownLocation: there is no such thing.
            InsufficientStock: fewer are in this condition.
        """
        return self._leave(RESTOCK[condition], (sku, location_id), units, self._deed(key, by, reason))

    def scrap(
        self,
        sku: str,
        location_id: str,
        units: int,
        condition: Condition,
        *,
        key: str,
        by: str,
        reason: str,
    ) -> Receipt:
        """Write units of this condition off: they are not on hand any more.

        Raises:
            UnknownSku, UnknownLocation: there is no such thing.
            InsufficientStock: fewer are in this condition.
            CannotRegrade: they are held, and a count says whether they exist.
        """
        if condition not in SCRAP:
            raise CannotRegrade(sku, Grade(condition.value), Grade.SCRAP)
        return self._leave(SCRAP[condition], (sku, location_id), units, self._deed(key, by, reason))

    def _deed(self, key: str, by: str, reason: str) -> Deed:
        return Deed(key=key, cause=reason, by=by, at=self._now())

    def _leave_free(self, kind: Movement, place: Place, units: int, deed: Deed) -> Receipt:
        def book(conn: Connection) -> None:
            check_place(conn, place)
            shortfall.book(conn, kind, place, units, deed, policy=self._policy)

        shortfall.in_one_piece(self._engine, book)
        return served(self._engine, place, deed)

    def _leave(self, kind: Movement, place: Place, units: int, deed: Deed) -> Receipt:
        with self._engine.begin() as conn:
            check_place(conn, place)
            change(conn, kind, place, units, deed)
        return served(self._engine, place, deed)
