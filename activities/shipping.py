"""Carriers: labels bought once, taken back when they are not used, and asked when they are silent."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Protocol

from temporalio import activity

from activities.errors import told_to_temporal
from fulfillment.domain.address import Address, AddressAnswer
from fulfillment.domain.carrier_choice import (
    Choice,
    Market,
    Quote,
    RateExpired,
    choose,
    choose_again,
)
from fulfillment.domain.label import Label, LabelDocument, LabelJob, Quoted, VoidJob
from fulfillment.domain.provider_errors import (
    Conflict,
    LabelRefused,
    OutcomeUnknown,
    ProviderUnavailable,
    RateGone,
    RateLimited,
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

    def check_address(self, address: Address) -> AddressAnswer:
        """Return whether a parcel can be brought there; UNKNOWN where nobody can tell."""
        ...

    def quote(self, job: LabelJob) -> Quoted:
        """Return offers; where those of the job are old, fresh ones of the same shipment."""
        ...

    def buy(self, reference: str, quote: Quote) -> Label: ...

    def document(self, label: Label) -> LabelDocument:
        """Return what is printed, byte for byte."""
        ...

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

    def address_checked(self, job: LabelJob, answer: AddressAnswer) -> LabelJob:
        """Take over what the carriers say of an address; return the job with the address it goes to.

        Raises:
            AddressRefused: the order is held until somebody says where it goes.
            Conflict: the address was changed meanwhile.
        """
        ...

    def market(self, job: LabelJob, quoted: Quoted) -> Market:
        """Return what is known of the carriers that made these offers, and note which of them answer."""
        ...

    def dearer(self, key: str) -> None:
        """Note since when every offer asks for more than what was quoted allows."""
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

    def keep_document(self, key: str, document: LabelDocument) -> None: ...

    def carrier_failed(self, carrier: str, said: str) -> None:
        """Note that a carrier made no label, or does not say whether it did."""
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
            ApplicationError: never retried are types LabelRefused, RateExpired and AddressRefused (somebody must say
                how it goes on) and, when the shipment was cancelled, Stop.
        """
        with told_to_temporal():
            job = self._books.claim_label(parcel_id)
            label = job.bought or self._adopted(job) or self._buy(self._still_wanted(job))
            self._books.labeled(job.key, label)
            self._keep_document(job, label)
            return label

    def _still_wanted(self, job: LabelJob) -> LabelJob:
        """Return the job unless its shipment was cancelled; one bought before that is adopted and given back.

        An offer for another address is worth nothing: the next attempt asks for new ones.
        """
        if job.is_for_old_address:
            self._books.failed(job.key, Conflict.__name__)
            raise Conflict(f"{job.key}: its address was changed meanwhile")
        if job.stopped:
            self._books.failed(job.key, Stop.__name__)
            raise Stop(job.parcel_id, "its shipment was cancelled")
        return job

    def _adopted(self, job: LabelJob) -> Label | None:
        """Return the label of an earlier sending whose answer was lost."""
        return self._carrier.bought(job.reference) if job.sends else None

    def _buy(self, job: LabelJob) -> Label:
        with self._trouble_recorded(job.key):
            job = self._with_checked_address(job)
            try:
                return self._bought(job)
            except RateGone:  # what was quoted is not sold any more: once more with what is
                again = self._books.claim_label(job.parcel_id)
                return again.bought or self._bought(replace(again, quotes_are_old=True))

    def _with_checked_address(self, job: LabelJob) -> LabelJob:
        if job.address_is_checked:
            return job
        return self._books.address_checked(job, self._carrier.check_address(job.destination))

    def _bought(self, job: LabelJob) -> Label:
        reference, quote = self._chosen(job)
        self._books.sending(job.key)
        try:
            return self._carrier.buy(reference, quote)
        except StateConflict:  # "already bought": read before believing it
            if label := self._carrier.bought(reference):
                return label
            raise
        except (Conflict, RateLimited, RateGone):
            raise  # no fault of the carrier's
        except (OutcomeUnknown, ProviderUnavailable) as error:
            self._books.carrier_failed(quote.carrier, str(error))
            raise

    def _chosen(self, job: LabelJob) -> tuple[str, Quote]:
        quoted = self._carrier.quote(job)
        choice = self._choice(job, quoted)
        if choice is None:
            raise LabelRefused(f"no carrier offers a rate for {job.parcel_id}: {'; '.join(quoted.messages)}")
        self._books.quoted(job.key, quoted.reference, replace(choice, said=quoted.messages))
        return quoted.reference, choice.chosen

    def _choice(self, job: LabelJob, quoted: Quoted) -> Choice | None:
        market = self._books.market(job, quoted)
        if job.quoted is None:
            return choose(quoted.quotes, job.errand, policy=job.policy, market=market)
        try:
            return choose_again(
                quoted.quotes,
                job.errand,
                before=job.quoted,
                accept=job.accepts_dearer,
                policy=job.policy,
                market=market,
            )
        except RateExpired:
            self._books.dearer(job.key)
            raise

    def _keep_document(self, job: LabelJob, label: Label) -> None:
        """Keep what is printed. The label is in the books by now, so nothing is bought again for want of it."""
        if not (job.has_document or job.stopped):
            self._books.keep_document(job.key, self._carrier.document(label))

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
