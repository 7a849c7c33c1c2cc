"""Transfers between locations: out = in + under way + recorded difference."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.inventory import Deed, Movement
from fulfillment.domain.transfers import Transfer, TransferRefused, TransferState, UnknownTransfer
from fulfillment.storage import backorders
from fulfillment.storage.movements import Place, is_done, lock_levels
from fulfillment.storage.stock import Receipt, change, check_place, served
from fulfillment.storage.tables import stock_transfers

_SEND: Final = insert(stock_transfers).on_conflict_do_nothing()
_THIS: Final = stock_transfers.c.transfer_id == bindparam("the_transfer")
_LOCK: Final = select(stock_transfers).where(_THIS).with_for_update()
_CHANGE: Final = update(stock_transfers).where(_THIS)
_LIST: Final = select(stock_transfers).order_by(stock_transfers.c.sent_at, stock_transfers.c.transfer_id)


class TransferStore:
    """Transfers. The transfer's row is locked first, then orders, then levels."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine, self._now = engine, now

    def send(
        self,
        transfer_id: str,
        sku: str,
        from_location: str,
        to_location: str,
        quantity: int,
        *,
        by: str,
        reason: str,
    ) -> Transfer:
        """Let unclaimed units leave for another location; the same transfer again changes nothing.

        Raises:
            UnknownSku, UnknownLocation: there is no such SKU, or no such place.
            InsufficientStock: fewer units are free at the source.
            TransferRefused: it goes nowhere, or another transfer has this id.
        """
        if from_location == to_location:
            raise TransferRefused(transfer_id, "it would end where it begins; name two locations")
        now = self._now()
        asked = {"sku": sku, "from_location": from_location, "to_location": to_location, "quantity": quantity}
        fixed = {"transfer_id": transfer_id, "reason": reason, "sent_by": by, "sent_at": now}
        source, destination = (sku, from_location), (sku, to_location)
        with self._engine.begin() as conn:
            check_place(conn, source)
            check_place(conn, destination)
            made = conn.execute(_SEND, asked | fixed | {"state": TransferState.UNDER_WAY.value}).rowcount
            row = _locked(conn, transfer_id)
            if not made:
                return _repeated(row, asked)
            lock_levels(conn, [source, destination])
            deed = Deed(key=f"transfer:{transfer_id}", cause=transfer_id, by=by, at=now)
            change(conn, Movement.TRANSFERRED_OUT, source, quantity, deed)
            change(conn, Movement.TRANSFER_COMING, destination, quantity, deed)
            return _transfer(row)

    def receive(self, transfer_id: str, quantity: int, *, key: str, by: str) -> Receipt:
        """Put arrived units on the shelf and serve who waits there. More than was sent is an adjustment.

        Raises:
            UnknownTransfer: there is no such transfer.
            TransferRefused: it was closed already.
        """
        deed = Deed(key=f"transfer:{transfer_id}:{key}", cause=transfer_id, by=by, at=self._now())
        with self._engine.begin() as conn:
            row = _locked(conn, transfer_id)
            place: Place = (row.sku, row.to_location)
            if not _arrived(conn, place, deed):
                if row.state == TransferState.CLOSED:
                    raise TransferRefused(transfer_id, "it was closed; book what still came as an adjustment")
                self._put_away(conn, row, place, quantity, deed)
        return served(self._engine, place, deed)

    def close(self, transfer_id: str, *, by: str, reason: str) -> Transfer:
        """Give up what did not arrive: the difference is recorded, with its reason. A repeat changes nothing.

        Raises:
            UnknownTransfer: there is no such transfer.
        """
        with self._engine.begin() as conn:
            row = _locked(conn, transfer_id)
            if row.state != TransferState.UNDER_WAY:
                return _transfer(row)
            missing = _transfer(row).under_way
            deed = Deed(key=f"transfer:{transfer_id}:close", cause=reason, by=by, at=self._now())
            change(conn, Movement.TRANSFER_LOST, (row.sku, row.to_location), missing, deed)
            ended = {"lost": row.lost + missing, "state": TransferState.CLOSED.value, "closed_at": deed.at}
            conn.execute(_CHANGE, {"the_transfer": transfer_id, **ended})
            return _transfer(_locked(conn, transfer_id))

    def transfers(self, *, only_open: bool = False) -> tuple[Transfer, ...]:
        """Return the transfers, oldest first."""
        still = stock_transfers.c.state == TransferState.UNDER_WAY.value
        query = _LIST.where(still) if only_open else _LIST
        with self._engine.connect() as conn:
            return tuple(_transfer(row) for row in conn.execute(query))

    def _put_away(self, conn: Connection, row: Row[Any], place: Place, quantity: int, deed: Deed) -> None:
        expected = min(quantity, _transfer(row).under_way)
        ready = backorders.lock_next(conn, place, arriving=quantity)
        lock_levels(conn, [place])
        change(conn, Movement.TRANSFERRED_IN, place, expected, deed)
        change(conn, Movement.ADJUSTED, place, quantity - expected, deed)
        received = row.received + expected
        whole = received + row.lost == row.quantity
        ended = {"state": TransferState.RECEIVED.value, "closed_at": deed.at} if whole else {}
        conn.execute(_CHANGE, {"the_transfer": row.transfer_id, "received": received, **ended})
        backorders.fill(conn, place, ready, key=deed.key, by=deed.by, now=deed.at)


def _arrived(conn: Connection, place: Place, deed: Deed) -> bool:
    kinds = (Movement.TRANSFERRED_IN, Movement.ADJUSTED)
    return any(is_done(conn, kind, place, deed.key) for kind in kinds)


def _locked(conn: Connection, transfer_id: str) -> Row[Any]:
    row = conn.execute(_LOCK, {"the_transfer": transfer_id}).one_or_none()
    if row is None:
        raise UnknownTransfer(transfer_id)
    return row


def _repeated(row: Row[Any], asked: dict[str, Any]) -> Transfer:
    if any(getattr(row, name) != value for name, value in asked.items()):
        raise TransferRefused(row.transfer_id, "there is another transfer of this id; choose a new one")
    return _transfer(row)


def _transfer(row: Row[Any]) -> Transfer:
    return Transfer(**{**row._mapping, "state": TransferState(row.state)})
