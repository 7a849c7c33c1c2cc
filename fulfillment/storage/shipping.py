"""Labels, bought once and given back, and what carriers report about their parcels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, and_, bindparam, func, insert, or_, select, update

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.address import Address, AddressAnswer, AddressRefused
from fulfillment.domain.calendars import Calendar
from fulfillment.domain.carrier_choice import Choice, Market, Quote, Scored
from fulfillment.domain.carriers import FailsAt
from fulfillment.domain.events import EventKind
from fulfillment.domain.findings import Unheard
from fulfillment.domain.label import Label, LabelDocument, LabelJob, Quoted, VoidJob
from fulfillment.domain.order import EXPRESS
from fulfillment.domain.payment import OperationKind, OperationState, operation_key
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.provider_errors import Conflict
from fulfillment.domain.shipment import InvalidTransition, Stop, WorkStatus
from fulfillment.domain.tracking import CarrierStatus, Flag, Scan, ScanSource, reason_of
from fulfillment.domain.transit import days_left
from fulfillment.storage import (
    address_checks,
    carriers,
    inbox,
    journal,
    label_documents,
    locks,
    parcels,
    signals,
)
from fulfillment.storage.locations import CALENDAR, calendar_from
from fulfillment.storage.tables import inbox as inbox_table
from fulfillment.storage.tables import labels, locations, shipments
from fulfillment.storage.tables import parcels as parcels_table
from fulfillment.storage.tables import provider_operations as operations

_TRACKING: Final = "tracking"
_ON_A_PARCEL: Final = ("buying", "live", "used")
_PLACE: Final = select(*CALENDAR, locations.c.address).where(locations.c.location_id == bindparam("there"))


class ShippingBooks:
    """Our record of labels and scans. `now` is shop time; providers count keys in `real_now`."""

    def __init__(
        self,
        engine: Engine,
        now: Callable[[], datetime],
        real_now: Callable[[], datetime],
        *,
        policy: Policy = DEFAULT,
    ) -> None:
        self._engine, self._now, self._real_now, self._policy = engine, now, real_now, policy

    def claim_label(self, parcel_id: str) -> LabelJob:
        """Claim the purchase of a label for a packed parcel; a live one comes back as `bought`.

        Raises:
            Stop: the shipment was cancelled.
            InvalidTransition: it is past packing and has no label.
            AddressRefused: the customer is being asked where it goes.
        """
        with self._engine.begin() as conn:
            order = locks.order_of_parcel(conn, parcel_id)
            parcel = _parcel(conn, parcel_id)
            label = _label_of(conn, parcel_id) or self._claimed(conn, order, parcel)
            job = self._job(conn, order, parcel, label)
        crashpoint("buy_label.after_claim")
        return job

    def address_checked(self, job: LabelJob, answer: AddressAnswer) -> LabelJob:
        """Take over what the carriers say of an address, and return the job with the address it goes to.

        Raises:
            AddressRefused: the order is held until somebody says where it goes; nothing is bought meanwhile.
            Conflict: the address was changed meanwhile; the next attempt is about the new one.
        """
        with self._engine.begin() as conn:
            order = locks.order_of_parcel(conn, job.parcel_id)
            moved = Address(**order.ship_to).digest() != job.destination.digest()
            goes_to = None if moved else self._goes_to(conn, order, job, answer)
            if goes_to is None:
                self._fail(conn, job.key, (Conflict if moved else AddressRefused).__name__)
        if moved:
            raise Conflict(f"{job.key}: its address was changed meanwhile")
        if goes_to is None:
            raise AddressRefused(f"{job.order_id} waits for a good address")
        return replace(job, destination=goes_to, address_is_checked=True)

    def market(self, job: LabelJob, quoted: Quoted) -> Market:
        """Return what is known of the carriers that made these offers: how they fared, and which are not used."""
        with self._engine.begin() as conn:
            return carriers.market(conn, job, quoted, now=self._now(), policy=self._policy)

    def dearer(self, key: str) -> None:
        """Note since when every offer asks for more than what was quoted allows."""
        first = func.coalesce(labels.c.dearer_since, self._now())
        with self._engine.begin() as conn:
            conn.execute(update(labels).where(_buying(key)).values(dearer_since=first))

    def quoted(self, key: str, reference: str, choice: Choice) -> None:
        """Store the provider's reference and the scored offers, before anything is bought.

        Raises:
            Conflict: another attempt of this purchase has a shipment already; the next one buys that.
        """
        chosen = {
            "provider_shipment_ref": reference,
            "quotes": _explained(choice),
            "quoted_at": self._now(),
            "quoted_price": func.coalesce(labels.c.quoted_price, choice.chosen.price),
            "dearer": choice.dearer,
        }
        ours = or_(labels.c.provider_shipment_ref.is_(None), labels.c.provider_shipment_ref == reference)
        with self._engine.begin() as conn:
            # The provider sells postage once per shipment, so one purchase may never know two of them.
            if not conn.execute(update(labels).where(_buying(key), ours).values(chosen)).rowcount:
                raise Conflict(f"{key}: another attempt is buying this label")

    def sending(self, key: str) -> None:
        """Count a sending of the purchase, before it leaves.

        Raises:
            Conflict: another attempt has ended it.
        """
        with self._engine.begin() as conn:
            if not _count_sending(conn, key, self._real_now()):
                raise Conflict(f"{key}: another attempt has ended this purchase")

    def labeled(self, key: str, label: Label) -> None:
        """Store the label; its shipment becomes labeled, and reports that came too early find their parcel."""
        with self._engine.begin() as conn:
            # Whoever receives a report for this number waits here, or we see what they stored.
            locks.named(conn, _number_lock(label.tracking_number))
            self._store_label(conn, key, label)
        crashpoint("buy_label.after_record")

    def keep_document(self, key: str, document: LabelDocument) -> None:
        """Keep what is printed, as it came."""
        with self._engine.begin() as conn:
            label_documents.keep(conn, key, document, now=self._now())

    def carrier_failed(self, carrier: str, said: str) -> None:
        """Note that a carrier made no label, or does not say whether it did."""
        with self._engine.begin() as conn:
            carriers.failed(conn, carrier, FailsAt.LABEL, said, now=self._now(), policy=self._policy)

    def claim_label_void(self, parcel_id: str) -> VoidJob | None:
        """Claim the return of a parcel's live label; None when there is none.

        A labeled shipment falls back to packed at once, so that it cannot leave with a label given back.
        """
        with self._engine.begin() as conn:
            order = locks.order_of_parcel(conn, parcel_id)
            label = _label_of(conn, parcel_id)
            job = None if label is None or label.state != "live" else self._void_job(conn, order, label)
        crashpoint("void_label.after_claim")
        return job

    def label_voided(self, key: str) -> None:
        """Note that the carrier took the label back."""
        self._void_ended(key, OperationState.SUCCEEDED, "voided", "The unused shipping label was given back.")
        crashpoint("void_label.after_record")

    def label_void_refused(self, key: str) -> None:
        """Note that the carrier keeps the money; the label must never be used all the same."""
        self._void_ended(
            key, OperationState.FAILED, "void_refused", "The unused shipping label was not taken back."
        )

    def unknown(self, key: str, error_class: str) -> None:
        """Note that a purchase was sent and its answer is lost."""
        with self._engine.begin() as conn:
            _end_operation(conn, key, OperationState.UNKNOWN, error_class=error_class)

    def failed(self, key: str, error_class: str) -> None:
        """Note that the carrier made no label; the next claim is a new purchase."""
        with self._engine.begin() as conn:
            self._fail(conn, key, error_class)

    def label_number(self, parcel_id: str) -> tuple[str, str] | None:
        """Return carrier and tracking number of a parcel's live label."""
        with self._engine.connect() as conn:
            label = _label_of(conn, parcel_id)
        return (
            None if label is None or label.tracking_number is None else (label.carrier, label.tracking_number)
        )

    def documents(self, parcel_id: str) -> tuple[LabelDocument, ...]:
        """Return what is printed for a parcel, in every format we have; nothing while it has no live label."""
        with self._engine.connect() as conn:
            return label_documents.of_parcel(conn, parcel_id)

    def scanned(self, parcel_id: str, scans: tuple[Scan, ...], edd: date | None, *, source: str) -> None:
        """Record scans once, fold, and queue what the order must hear; one transaction."""
        with self._engine.begin() as conn:
            parcels.record(conn, parcel_id, scans, edd, source=source, now=self._now(), policy=self._policy)

    def record_report(
        self,
        provider: str,
        event_id: str,
        carrier: str,
        tracking_number: str,
        scans: tuple[Scan, ...],
        edd: date | None,
        body: Mapping[str, Any],
    ) -> tuple[Unheard, ...]:
        """Record a carrier's report once and return what its order must hear; a repeat returns nothing.

        A number we do not know is kept: it is matched when a label with that number is stored.
        """
        kept = {"carrier": carrier, "scans": [_kept(scan) for scan in scans], "edd": _iso(edd), "raw": body}
        with inbox.receiving(self._engine) as conn:
            locks.named(conn, _number_lock(tracking_number))
            if not inbox.record_once(
                conn, provider, event_id, kind=_TRACKING, subject=tracking_number, body=kept, now=self._now()
            ):
                return ()
            label = _label_with(conn, carrier, tracking_number)
            if label is None:
                inbox.settle(conn, provider, event_id, inbox.UNMATCHED, why="no label has this number")
                return ()
            self._apply_report(conn, provider, event_id, label, scans, edd)
            return signals.waiting(conn, label.order_id)

    def _claimed(self, conn: Connection, order: Row[Any], parcel: Row[Any]) -> Row[Any]:
        """Claim a new purchase; its row is what a second claim finds."""
        _check_packed(parcel)
        address_checks.check_not_asked(conn, order)
        count = select(func.count()).where(labels.c.parcel_id == parcel.parcel_id)
        n: int = conn.execute(count).scalar_one() + 1
        key = operation_key(order.order_id, OperationKind.BUY_LABEL, parcel.parcel_id, n)
        _claim_operation(conn, order.order_id, key, OperationKind.BUY_LABEL, parcel.parcel_id, self._now())
        row = {"label_id": key, "order_id": order.order_id, "parcel_id": parcel.parcel_id, "state": "buying"}
        bought_for = {"address_hash": Address(**order.ship_to).digest(), "order_service": order.service}
        stamps = {"created_at": self._now()}
        return conn.execute(insert(labels).values(row | bought_for | stamps).returning(labels)).one()

    def _fail(self, conn: Connection, key: str, error_class: str) -> None:
        ended = {"ended_at": self._now(), "error_class": error_class}
        _end_operation(conn, key, OperationState.FAILED, **ended)
        conn.execute(update(labels).where(_buying(key)).values(state="failed"))

    def _goes_to(
        self, conn: Connection, order: Row[Any], job: LabelJob, answer: AddressAnswer
    ) -> Address | None:
        goes_to = address_checks.take(conn, order, answer, policy=self._policy, now=self._now())
        if goes_to is not None:
            conn.execute(update(labels).where(_buying(job.key)).values(address_hash=goes_to.digest()))
        return goes_to

    def _job(self, conn: Connection, order: Row[Any], parcel: Row[Any], label: Row[Any]) -> LabelJob:
        place = conn.execute(_PLACE, {"there": parcel.location_id}).one()
        now, policy, calendar = self._now(), self._policy, calendar_from(place)
        leaves = calendar.work_day(now)
        promise_date, to = order.promise_date or leaves, Address(**order.ship_to)
        sends = _sends(conn, label.label_id)
        return LabelJob(
            key=label.label_id,
            parcel_id=parcel.parcel_id,
            order_id=order.order_id,
            origin=Address(**place.address),
            destination=to,
            weight_g=parcel.weight_g,
            promise_date=promise_date,
            currency=order.currency,
            today=leaves,
            location_id=parcel.location_id,
            days=days_left(Calendar(closed_days=calendar.closed_days), leaves, promise_date),
            express=order.service == EXPRESS,
            size_mm=parcel.size_mm and tuple(parcel.size_mm),
            value=parcel.value,
            policy=policy,
            reference=label.provider_shipment_ref or "",
            sends=sends,
            bought=None if label.state == "buying" else _bought(label, parcel.edd_date),
            stopped=parcel.work_status == WorkStatus.CANCELLED.value,
            quoted=_quoted(label),
            quotes_are_old=label.quoted_at is not None and now - label.quoted_at >= policy.rate_life,
            accepts_dearer=(
                label.dearer_since is not None and now - label.dearer_since >= policy.rate_decided_within
            ),
            # What was sent may still be bought: it is asked after, and what comes of it is given back.
            is_for_old_address=label.state == "buying" and not sends and label.address_hash != to.digest(),
            has_document=label_documents.has(conn, label.label_id),
            address_is_checked=address_checks.is_checked(conn, order, policy),
        )

    def _store_label(self, conn: Connection, key: str, label: Label) -> None:
        row = conn.execute(select(labels).where(labels.c.label_id == key)).one()
        order = locks.order_of_parcel(conn, row.parcel_id)
        values = {
            "state": "live",
            "carrier": label.carrier,
            "service": label.service,
            "cost": label.cost,
            "currency": label.currency,
            "tracking_number": label.tracking_number,
            "label_url": label.label_url,
        }
        stored = conn.execute(update(labels).where(_buying(key)).values(values).returning(labels)).first()
        if stored is None:
            return
        now = self._now()
        _end_operation(
            conn, key, OperationState.SUCCEEDED, provider_ref=row.provider_shipment_ref, ended_at=now
        )
        parcel = _parcel(conn, row.parcel_id)
        _become_labeled(conn, parcel, now)
        carriers.works(conn, label.carrier, now=now)
        _expect(conn, parcel, label.edd)
        number = {"carrier": label.carrier, "tracking_number": label.tracking_number}
        text = f"The shipping label is made: {label.carrier} {label.service}, number {label.tracking_number}."
        data = {"parcel_id": row.parcel_id, **number}
        journal.event(conn, order.order_id, EventKind.LABELED, text, at=now, data=data)
        self._match_early_reports(conn, stored)

    def _match_early_reports(self, conn: Connection, label: Row[Any]) -> None:
        early = (
            select(inbox_table)
            .where(
                inbox_table.c.kind == _TRACKING,
                inbox_table.c.subject == label.tracking_number,
                inbox_table.c.state == inbox.UNMATCHED,
            )
            .order_by(inbox_table.c.received_at, inbox_table.c.event_id)
        )
        for event in conn.execute(early).all():
            scans = tuple(_scan(kept) for kept in event.body["scans"])
            edd = event.body["edd"] and date.fromisoformat(event.body["edd"])
            self._apply_report(conn, event.provider, event.event_id, label, scans, edd)

    def _apply_report(
        self,
        conn: Connection,
        provider: str,
        event_id: str,
        label: Row[Any],
        scans: Sequence[Scan],
        edd: date | None,
    ) -> None:
        if label.state not in _ON_A_PARCEL:
            why = f"its label is {label.state}"
            inbox.settle(conn, provider, event_id, inbox.IGNORED, order_id=label.order_id, why=why)
            return
        parcels.record(
            conn, label.parcel_id, scans, edd, source=provider, now=self._now(), policy=self._policy
        )
        inbox.settle(conn, provider, event_id, inbox.APPLIED, order_id=label.order_id)

    def _void_job(self, conn: Connection, order: Row[Any], label: Row[Any]) -> VoidJob:
        n = int(label.label_id.rsplit(":", 1)[1])
        key = operation_key(order.order_id, OperationKind.VOID_LABEL, label.parcel_id, n)
        _claim_operation(conn, order.order_id, key, OperationKind.VOID_LABEL, label.parcel_id, self._now())
        earlier = _sends(conn, key)
        _count_sending(conn, key, self._real_now())
        labeled = and_(
            shipments.c.shipment_id == _parcel(conn, label.parcel_id).shipment_id,
            shipments.c.work_status == WorkStatus.LABELED.value,
        )
        conn.execute(update(shipments).where(labeled).values(work_status=WorkStatus.PACKED.value))
        return VoidJob(
            key=key, label_id=label.label_id, reference=label.provider_shipment_ref or "", sends=earlier
        )

    def _void_ended(self, key: str, state: OperationState, label_state: str, sentence: str) -> None:
        with self._engine.begin() as conn:
            operation = conn.execute(select(operations).where(operations.c.operation_key == key)).one()
            order = locks.order_of_parcel(conn, operation.subject)
            given_back = _label_id_of_void(key)
            live = (labels.c.label_id == given_back) & (labels.c.state == "live")
            if conn.execute(update(labels).where(live).values(state=label_state)).rowcount:
                _end_operation(conn, key, state, ended_at=self._now())
                data = {"parcel_id": operation.subject}
                journal.event(
                    conn,
                    order.order_id,
                    EventKind(f"label_{label_state}"),
                    sentence,
                    at=self._now(),
                    data=data,
                )


def _parcel(conn: Connection, parcel_id: str) -> Row[Any]:
    query = (
        select(parcels_table, *shipments.c["work_status", "location_id", "value"])
        .join(shipments, shipments.c.shipment_id == parcels_table.c.shipment_id)
        .where(parcels_table.c.parcel_id == parcel_id)
    )
    return conn.execute(query).one()


def _label_of(conn: Connection, parcel_id: str) -> Row[Any] | None:
    standing = (labels.c.parcel_id == parcel_id) & labels.c.state.in_(_ON_A_PARCEL)
    return conn.execute(select(labels).where(standing)).first()


def _label_with(conn: Connection, carrier: str, tracking_number: str) -> Row[Any] | None:
    """The label with this number. Carriers are spelled in more than one way; the number alone decides if it can."""
    found = conn.execute(select(labels).where(labels.c.tracking_number == tracking_number)).all()
    same = [label for label in found if label.carrier.casefold() == carrier.casefold()]
    return next(iter(same if same else found if len(found) == 1 else []), None)


def _buying(key: str) -> Any:
    return and_(labels.c.label_id == key, labels.c.state == "buying")


def _check_packed(parcel: Row[Any]) -> None:
    if parcel.work_status == WorkStatus.CANCELLED.value:
        raise Stop(parcel.shipment_id, "it was cancelled: put the goods back on the shelf")
    if parcel.work_status != WorkStatus.PACKED.value:
        raise InvalidTransition(parcel.shipment_id, WorkStatus(parcel.work_status), WorkStatus.LABELED)


def _bought(label: Row[Any], edd: date | None) -> Label:
    return Label(
        carrier=label.carrier,
        service=label.service,
        tracking_number=label.tracking_number,
        cost=label.cost,
        currency=label.currency,
        label_url=label.label_url,
        edd=edd,
    )


def _become_labeled(conn: Connection, parcel: Row[Any], now: datetime) -> None:
    """Only a packed shipment: one cancelled meanwhile keeps its end, and its label waits to be given back."""
    packed = and_(
        shipments.c.shipment_id == parcel.shipment_id, shipments.c.work_status == WorkStatus.PACKED.value
    )
    conn.execute(update(shipments).where(packed).values(work_status=WorkStatus.LABELED.value, labeled_at=now))


def _expect(conn: Connection, parcel: Row[Any], edd: date | None) -> None:
    if edd is not None:
        days = {"edd_first_date": parcel.edd_first_date or edd, "edd_date": edd}
        conn.execute(update(parcels_table).where(parcels_table.c.parcel_id == parcel.parcel_id).values(days))


def _claim_operation(
    conn: Connection, order_id: str, key: str, kind: OperationKind, subject: str, now: datetime
) -> None:
    row = {"operation_key": key, "order_id": order_id, "kind": kind.value, "subject": subject}
    known = conn.scalar(select(operations.c.operation_key).where(operations.c.operation_key == key))
    if known is None:
        claimed = {"state": OperationState.CLAIMED.value, "claimed_at": now}
        conn.execute(insert(operations).values(row | claimed))


def _sends(conn: Connection, key: str) -> int:
    query = select(operations.c.sends).where(operations.c.operation_key == key)
    sends: int = conn.execute(query).scalar_one()
    return sends


def _count_sending(conn: Connection, key: str, real_now: datetime) -> bool:
    counted = {
        "state": OperationState.CLAIMED.value,
        "sends": operations.c.sends + 1,
        "first_sent_at": func.coalesce(operations.c.first_sent_at, real_now),
    }
    return conn.execute(update(operations).where(_open(key)).values(counted)).rowcount > 0


def _end_operation(conn: Connection, key: str, state: OperationState, **values: Any) -> None:
    conn.execute(update(operations).where(_open(key)).values(state=state.value, **values))


def _open(key: str) -> Any:
    still = (OperationState.CLAIMED.value, OperationState.UNKNOWN.value)
    return and_(operations.c.operation_key == key, operations.c.state.in_(still))


def _label_id_of_void(key: str) -> str:
    order_id, _, parcel_id, n = key.rsplit(":", 3)
    return operation_key(order_id, OperationKind.BUY_LABEL, parcel_id, int(n))


def _number_lock(tracking_number: str) -> str:
    return f"tracking number {tracking_number}"


def _explained(choice: Choice) -> dict[str, Any]:
    """Return a decision with all its inputs, so that it can be told why, and made again."""
    return {
        "chosen": choice.chosen.quote_id,
        "quote": asdict(choice.chosen),
        "why": choice.why,
        "promise_date": _iso(choice.promise_date),
        "lateness_costs": choice.lateness_costs,
        "policy_version": choice.policy_version,
        "tried": choice.tried,
        "dearer": choice.dearer,
        "said": list(choice.said),
        "options": [_option(option) for option in choice.options],
    }


def _option(option: Scored) -> dict[str, Any]:
    chances = option.reliability
    return asdict(option.quote) | {
        "arrives": _iso(option.arrives),
        "in_time": option.in_time,
        "likely": round(chances.likely, 4),
        "at_least": round(chances.at_least, 4),
        "lost": round(chances.lost, 4),
        "damaged": round(chances.damaged, 4),
        "parcels": round(chances.parcels, 1),
        "circle": chances.circle.value,
        "expected": option.expected,
        "left_out": option.left_out,
    }


def _quoted(label: Row[Any]) -> Quote | None:
    """Return the offer chosen before, at the price that what is paid is measured by."""
    if label.state != "buying" or label.quotes is None or "quote" not in label.quotes:
        return None
    kept = label.quotes["quote"]
    return Quote(
        **kept | {"price": label.quoted_price, "percentiles": tuple(map(tuple, kept["percentiles"]))}
    )


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _kept(scan: Scan) -> dict[str, Any]:
    return asdict(scan) | {"occurred_at": scan.occurred_at.isoformat()}


def _scan(kept: Mapping[str, Any]) -> Scan:
    return Scan(
        **{
            **kept,
            "status": kept["status"] and CarrierStatus(kept["status"]),
            "flag": kept["flag"] and Flag(kept["flag"]),
            "reason": reason_of(kept["reason"] or ""),
            "source": ScanSource(kept["source"]),
            "occurred_at": datetime.fromisoformat(kept["occurred_at"]),
        }
    )
