"""Carriers: labels bought once, taken back when they are not used, and asked when they are silent."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Protocol

from temporalio import activity

from activities.errors import told_to_temporal
from fulfillment.domain.carrier_choice import Choice, Quote, choose
from fulfillment.domain.label import Label, LabelJob, Quoted, VoidJob
from fulfillment.domain.provider_errors import (
    LabelRefused,
    OutcomeUnknown,
    Rejected,
    StateConflict,
    VoidRefused,
)
from fulfillment.domain.shipment import Stop
from fulfillment.domain.tracking import Scan


class Carrier(Protocol):
    """What we need of a carrier aggregator. It knows no idempotency key: ask before repeating.

    Raises:
        LabelRefused, VoidRefused: the carrier said no.
        ProviderError: see `fulfillment.domain.provider_errors` for what follows from which.
    """

    def quote(self, job: LabelJob) -> Quoted: ...

    def buy(self, reference: str, quote: Quote) -> Label: ...

    def bought(self, reference: str) -> Label | None:
        """Return the label this shipment has, or None when the provider proves that none was bought."""
        ...

    def void(self, reference: str) -> None: ...

    def is_void(self, reference: str) -> bool: ...

    def track(self, carrier: str, tracking_number: str) -> tuple[tuple[Scan, ...], date | None]:
        """Return the parcel's whole scan history and its estimated delivery date."""
        ...


class ShippingBooks(Protocol):
    """Our record of labels and scans. Claims are committed before the carrier is called."""

    def claim_label(self, parcel_id: str) -> LabelJob:
        """Claim the purchase of a label for a packed parcel; a live one comes back as `bought`."""
        ...

    def quoted(self, key: str, reference: str, choice: Choice) -> None:
        """Store the provider's reference and the scored offers, before anything is bought."""
        ...

    def sending(self, key: str) -> None:
        """Count a sending of the purchase, before it leaves."""
        ...

    def labeled(self, key: str, label: Label) -> None:
        """Store the label; its shipment becomes labeled, in one transaction."""
        ...

    def claim_label_void(self, parcel_id: str) -> VoidJob | None:
        """Claim the return of a parcel's live label; None when there is none."""
        ...

    def label_voided(self, key: str) -> None: ...

    def label_void_refused(self, key: str) -> None: ...

    def unknown(self, key: str, error_class: str) -> None: ...

    def failed(self, key: str, error_class: str) -> None: ...

    def label_number(self, parcel_id: str) -> tuple[str, str] | None:
        """Return carrier and tracking number of a parcel's live label."""
        ...

    def scanned(self, parcel_id: str, scans: tuple[Scan, ...], edd: date | None, *, source: str) -> None:
        """Record scans once, fold, and queue what the order must hear; one transaction."""
        ...


class ShippingActivities:
    """Deeds at the carriers. None is broken off by a cancel: between a purchase and its record lies a label."""

    def __init__(self, carrier: Carrier, books: ShippingBooks) -> None:
        self._carrier, self._books = carrier, books

    @activity.defn(no_thread_cancel_exception=True)
    def buy_label(self, parcel_id: str) -> Label:
        """Choose a rate and buy a label for a packed parcel: at most one live label, whatever gets lost.

        Raises:
            ApplicationError: type LabelRefused or, when the shipment was cancelled, Stop; never retried.
        """
        with told_to_temporal():
            job = self._books.claim_label(parcel_id)
            label = job.bought or self._adopted(job) or self._buy(self._still_wanted(job))
            self._books.labeled(job.key, label)
            return label

    def _still_wanted(self, job: LabelJob) -> LabelJob:
        """Return the job unless its shipment was cancelled; one bought before that is adopted and given back."""
        if job.stopped:
            self._books.failed(job.key, Stop.__name__)
            raise Stop(job.parcel_id, "its shipment was cancelled")
        return job

    def _adopted(self, job: LabelJob) -> Label | None:
        """Return the label of an earlier sending whose answer was lost."""
        return self._carrier.bought(job.reference) if job.sends else None

    def _buy(self, job: LabelJob) -> Label:
        with self._trouble_recorded(job.key):
            reference, quote = self._chosen(job)
            self._books.sending(job.key)
            try:
                return self._carrier.buy(reference, quote)
            except StateConflict:  # "already bought": read before believing it
                if label := self._carrier.bought(reference):
                    return label
                raise

    def _chosen(self, job: LabelJob) -> tuple[str, Quote]:
        quoted = self._carrier.quote(job)
        choice = choose(quoted.quotes, today=job.today, promise_date=job.promise_date, express=job.express)
        if choice is None:
            raise LabelRefused(f"no carrier offers a rate for {job.parcel_id}: {'; '.join(quoted.messages)}")
        self._books.quoted(job.key, quoted.reference, choice)
        return quoted.reference, choice.chosen

    @contextmanager
    def _trouble_recorded(self, key: str) -> Iterator[None]:
        try:
            yield
        except OutcomeUnknown as error:
            self._books.unknown(key, type(error).__name__)
            raise
        except (LabelRefused, Rejected) as no:
            self._books.failed(key, type(no).__name__)
            raise

    @activity.defn(no_thread_cancel_exception=True)
    def void_label(self, parcel_id: str) -> bool:
        """Give a label back. Return False when the carrier refuses: then its cost is ours."""
        with told_to_temporal():
            job = self._books.claim_label_void(parcel_id)
            if job is None:
                return True
            try:
                if not (job.sends and self._carrier.is_void(job.reference)):
                    self._carrier.void(job.reference)
            except VoidRefused:
                self._books.label_void_refused(job.key)
                return False
            self._books.label_voided(job.key)
            return True

    @activity.defn(no_thread_cancel_exception=True)
    def ask_carrier(self, parcel_id: str) -> None:
        """Ask what became of a silent parcel; what the carrier knows is recorded as if it had been sent."""
        with told_to_temporal():
            if number := self._books.label_number(parcel_id):
                scans, edd = self._carrier.track(*number)
                self._books.scanned(parcel_id, scans, edd, source="asked")
