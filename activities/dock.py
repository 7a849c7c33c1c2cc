"""The dock: what is asked of carriers about what they take together."""

from collections.abc import Sequence
from typing import Protocol

from temporalio import activity

from activities.errors import told_to_temporal
from fulfillment.domain.provider_errors import AuthConfig, ProviderUnavailable, Rejected
from fulfillment.domain.scan_forms import FormDocument, FormSnapshot, FormState, ScanFormJob

_NONE_HERE = "no forms are made by way of this provider: let the driver scan every parcel"
_NOTHING_LEFT = "every parcel on it was taken off meanwhile"


class FormMaker(Protocol):
    """What we need of a provider that makes scan forms. A shipment is on one form for good: ask before repeating.

    Raises:
        ProviderError: see `fulfillment.domain.provider_errors` for what follows from which.
    """

    def ask_for_form(self, shipments: Sequence[str]) -> FormSnapshot: ...

    def form(self, reference: str) -> FormSnapshot: ...

    def form_of(self, shipment: str) -> FormSnapshot | None:
        """Return the form that a shipment is on, or None."""
        ...

    def form_document(self, form: FormSnapshot) -> FormDocument: ...


class FormBooks(Protocol):
    """Our record of scan forms."""

    def claim(self, form_id: str) -> ScanFormJob | None:
        """Claim a request; None when it is over."""
        ...

    def sending(self, form_id: str) -> None:
        """Count a sending, before it leaves."""
        ...

    def known(self, form_id: str, reference: str) -> None: ...

    def made(self, form_id: str, form: FormSnapshot, document: FormDocument) -> None: ...

    def refused(self, form_id: str, said: str) -> None: ...


class DockActivities:
    """Deeds at the carriers for what leaves together. `maker` is None where the provider makes no forms."""

    def __init__(self, maker: FormMaker | None, books: FormBooks) -> None:
        self._maker, self._books = maker, books

    @activity.defn(no_thread_cancel_exception=True)
    def make_scan_form(self, form_id: str) -> FormState | None:
        """Get a form and keep it; return how it ended, None when it had before. Repeated until the carrier has made it."""
        with told_to_temporal():
            job = self._books.claim(form_id)
            if job is None:
                return None
            if self._maker is None:
                return self._refused(job, _NONE_HERE)
            if not job.shipments:
                return self._refused(job, _NOTHING_LEFT)
            return self._kept(self._maker, job, self._asked(self._maker, job))

    def _asked(self, maker: FormMaker, job: ScanFormJob) -> FormSnapshot:
        if job.reference:
            return maker.form(job.reference)
        found = maker.form_of(job.shipments[0]) if job.sends else None
        return found or self._sent(maker, job)

    def _sent(self, maker: FormMaker, job: ScanFormJob) -> FormSnapshot:
        """Ask for a form; read before believing a no: "it is on a form already" may be this one."""
        self._books.sending(job.form_id)
        try:
            answer = maker.ask_for_form(job.shipments)
        except AuthConfig:
            raise
        except Rejected as no:
            answer = FormSnapshot(reference="", state=FormState.REFUSED, said=str(no))
        refused = answer.state is FormState.REFUSED
        return (maker.form_of(job.shipments[0]) if refused else None) or answer

    def _kept(self, maker: FormMaker, job: ScanFormJob, form: FormSnapshot) -> FormState:
        if form.state is FormState.REFUSED:
            return self._refused(job, form.said)
        self._books.known(job.form_id, form.reference)
        if form.state is FormState.ASKED:
            raise ProviderUnavailable(f"{form.reference} is still being made")
        self._books.made(job.form_id, form, maker.form_document(form))
        return FormState.MADE

    def _refused(self, job: ScanFormJob, said: str) -> FormState:
        self._books.refused(job.form_id, said)
        return FormState.REFUSED
