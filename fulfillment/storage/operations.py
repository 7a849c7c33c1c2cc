"""Requests to the payment provider as rows: claimed before they are sent, settled once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.money import Money
from fulfillment.domain.operation import Operation
from fulfillment.domain.payment import OperationKind, OperationState
from fulfillment.storage.tables import orders, payment_shares, payments, provider_operations

_O, _K = OperationState, OperationKind

_THE_KEY: Final = provider_operations.c.operation_key == bindparam("the_key")
_OWNER: Final = select(provider_operations.c.order_id).where(_THE_KEY).scalar_subquery()
_LOCK: Final = select(orders).where(orders.c.order_id == _OWNER).with_for_update(key_share=True)
_READ: Final = select(provider_operations).where(_THE_KEY)
_OF_PAYMENT: Final = select(provider_operations).where(
    provider_operations.c.payment_id == bindparam("the_payment"),
    provider_operations.c.kind == bindparam("the_kind"),
    provider_operations.c.subject == bindparam("the_subject"),
)
_ADD: Final = insert(provider_operations)
_CHANGE: Final = update(provider_operations).where(_THE_KEY).returning(provider_operations)
_SETTLE: Final = update(provider_operations).where(
    _THE_KEY,
    provider_operations.c.state.in_([_O.CLAIMED.value, _O.ACCEPTED.value, _O.UNKNOWN.value]),
)
_CORRECT: Final = update(provider_operations).where(
    _THE_KEY, provider_operations.c.state == _O.SUCCEEDED.value
)
_PAYMENT: Final = select(
    payments.c.provider_ref,
    payments.c.captured,
    select(func.count())
    .where(payment_shares.c.payment_id == payments.c.payment_id)
    .scalar_subquery()
    .label("shares"),
).where(payments.c.payment_id == bindparam("the_payment"))


class UnknownOperation(FulfillmentError):
    """Nothing was ever asked of the provider under this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no operation {key}")
        self.key = key


def lock(conn: Connection, key: str) -> Row[Any]:
    """Lock the order an operation belongs to."""
    row = conn.execute(_LOCK, {"the_key": key}).one_or_none()
    if row is None:
        raise UnknownOperation(key)
    return row


def read(conn: Connection, key: str) -> Row[Any]:
    """Return an operation's row."""
    return conn.execute(_READ, {"the_key": key}).one()


class Operations:
    """The rows of requests. `now` is shop time, `real_now` the provider's; the order must be locked."""

    def __init__(self, now: Callable[[], datetime], real_now: Callable[[], datetime]) -> None:
        self._now, self._real_now = now, real_now

    def claim(
        self,
        conn: Connection,
        order: Row[Any],
        key: str,
        kind: OperationKind,
        *,
        payment_id: str,
        subject: str,
        amount: int,
        final: bool = True,
    ) -> Operation:
        """Claim a request about a payment; one that was claimed before counts one more sending."""
        about = {"the_payment": payment_id, "the_kind": kind.value, "the_subject": subject}
        found = conn.execute(_OF_PAYMENT, about).one_or_none()
        if found is not None:
            return self.again(conn, order, found, amount=amount, final=final)
        return self.new(
            conn, order, key, kind, payment_id=payment_id, subject=subject, amount=amount, final=final
        )

    def new(
        self,
        conn: Connection,
        order: Row[Any],
        key: str,
        kind: OperationKind,
        *,
        payment_id: str,
        subject: str,
        amount: int,
        final: bool = True,
    ) -> Operation:
        """Claim a request that was never made before."""
        row = {
            "operation_key": key,
            "order_id": order.order_id,
            "payment_id": payment_id,
            "kind": kind.value,
            "subject": subject,
            "amount": amount,
            "final": final,
            "state": _O.CLAIMED.value,
            "sends": 1,
            "first_sent_at": self._real_now(),
            "claimed_at": self._now(),
        }
        added = conn.execute(_ADD.returning(provider_operations), row).one()
        return self.of(conn, order, added, sends=0)

    def again(self, conn: Connection, order: Row[Any], found: Row[Any], **anew: int | bool) -> Operation:
        """Claim once more what was claimed before; what is settled stays so, but a refusal frees the key.

        `anew` is what a request that was refused asks for instead.
        """
        if found.state == _O.SUCCEEDED or (found.state == _O.FAILED and found.kind == _K.AUTHORIZE):
            return self.of(conn, order, found, sends=found.sends)
        again: dict[str, Any] = {"state": _O.CLAIMED.value, "sends": found.sends + 1}
        if found.state == _O.FAILED:
            # A refused attempt is over; what is owed is not. Under the old key the refusal would come again.
            again |= {"renewals": found.renewals + 1, "first_sent_at": self._real_now(), "ended_at": None}
            again |= {"error_class": None, "claimed_at": self._now(), **anew}
        row = conn.execute(_CHANGE, {"the_key": found.operation_key, **again}).one()
        return self.of(conn, order, row, sends=found.sends)

    def renew(self, conn: Connection, order: Row[Any], key: str) -> Operation:
        """Give an operation a fresh provider key, its absence at the provider being proven."""
        fresh = {
            "renewals": provider_operations.c.renewals + 1,
            "first_sent_at": self._real_now(),
            "error_class": None,
        }
        row = conn.execute(_CHANGE.values(fresh), {"the_key": key}).one()
        return self.of(conn, order, row, sends=row.sends - 1)

    def of(self, conn: Connection, order: Row[Any], row: Row[Any], *, sends: int) -> Operation:
        """Return a row as the domain knows it."""
        payment = conn.execute(_PAYMENT, {"the_payment": row.payment_id}).one()
        key: str = row.operation_key
        age = self._real_now() - row.first_sent_at if row.first_sent_at else timedelta(0)
        return Operation(
            key=key,
            provider_key=f"{key}~{row.renewals}" if row.renewals else key,
            kind=_K(row.kind),
            state=_O(row.state),
            order_id=row.order_id,
            amount=Money(minor=row.amount, currency=order.currency),
            method=order.payment_method,
            reference=payment.provider_ref or "",
            payment_id=row.payment_id,
            captured=payment.captured,
            final=row.final,
            several=payment.shares > 1,
            sends=sends,
            key_age=age,
            error_class=row.error_class or "",
        )

    def settle(
        self,
        conn: Connection,
        key: str,
        state: OperationState,
        *,
        reference: str | None = None,
        error_class: str | None = None,
    ) -> bool:
        """Give an open operation its outcome; return whether it was still open."""
        how: dict[str, Any] = {"state": state.value, "error_class": error_class}
        if state in (_O.SUCCEEDED, _O.FAILED):
            how["ended_at"] = self._now()
        if reference is not None:
            how["provider_ref"] = reference
        return bool(conn.execute(_SETTLE, {"the_key": key, **how}).rowcount)

    def correct(self, conn: Connection, key: str, *, error_class: str) -> bool:
        """Note that what had succeeded failed after all; return whether it had."""
        how = {"state": _O.FAILED.value, "error_class": error_class, "ended_at": self._now()}
        return bool(conn.execute(_CORRECT, {"the_key": key, **how}).rowcount)
