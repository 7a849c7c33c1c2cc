"""What was missed: facts not handed on, orders not started, parcels gone silent, requests left in doubt."""

from typing import Protocol

from temporalio import activity

from activities.errors import told_to_temporal
from fulfillment.domain.findings import Findings


class Books(Protocol):
    """What we need to find what was missed."""

    def sweep(self) -> Findings:
        """Find what was missed. Shipments past their ship-by are queued as facts for their orders at once."""
        ...

    def heard(self, signal_ids: tuple[int, ...]) -> None:
        """Note that these facts were handed on."""
        ...

    def silence(self, parcel_id: str) -> None:
        """The carrier was asked and knows nothing new: queue that as a fact, and set the next check."""
        ...

    def doubt(self, operation_key: str) -> None:
        """The provider could not say what became of a request: open a case once it has been too long."""
        ...


class ReconciliationActivities:
    """Deeds of the sweep."""

    def __init__(self, books: Books) -> None:
        self._books = books

    @activity.defn
    def find_what_was_missed(self) -> Findings:
        """Look through the books for what nobody acted on."""
        with told_to_temporal():
            return self._books.sweep()

    @activity.defn
    def note_heard(self, signal_ids: tuple[int, ...]) -> None:
        """Note facts as handed on."""
        with told_to_temporal():
            self._books.heard(signal_ids)

    @activity.defn
    def note_silence(self, parcel_id: str) -> None:
        """Let the order hear that its parcel is silent."""
        with told_to_temporal():
            self._books.silence(parcel_id)

    @activity.defn
    def note_doubt(self, operation_key: str) -> None:
        """Let people hear of a request whose outcome nobody knows."""
        with told_to_temporal():
            self._books.doubt(operation_key)
