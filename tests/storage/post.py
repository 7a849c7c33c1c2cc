"""A carriers' desk in a test's hands: it prints each shipment once, and fails as it is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from fulfillment.domain.address import Address, AddressAnswer, Verdict
from fulfillment.domain.carrier_choice import Quote
from fulfillment.domain.label import Label, LabelDocument, LabelJob, Quoted
from fulfillment.domain.provider_errors import OutcomeUnknown, ProviderError, StateConflict
from fulfillment.domain.tracking import Scan


def an_offer(carrier: str = "UPS", price: int = 800, days: int = 3, service: str = "Ground") -> Quote:
    """Return what a carrier asks."""
    return Quote(
        quote_id=f"{carrier}-{service}-{price}",
        carrier=carrier,
        service=service,
        price=price,
        currency="USD",
        days=days,
    )


FOUND = AddressAnswer(verdict=Verdict.DELIVERABLE)


@dataclass
class Post:
    """`offers` are made to everyone; `trouble` is raised for a carrier's label, before or `after` it is printed."""

    offers: Sequence[Quote] = (an_offer(),)
    fresh: Sequence[Quote] | None = None  # what is offered once the old offers are asked for anew
    silent: tuple[str, ...] = ()
    answer: AddressAnswer = FOUND
    trouble: dict[str, ProviderError] = field(default_factory=dict)
    after: bool = False
    no_document: ProviderError | None = None
    jobs: dict[str, LabelJob] = field(default_factory=dict)
    printed: dict[str, Label] = field(default_factory=dict)
    voided: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def check_address(self, address: Address) -> AddressAnswer:
        self.calls.append("check")
        return self.answer

    def quote(self, job: LabelJob) -> Quoted:
        self.calls.append("quote")
        reference = job.reference or f"shp_{len(self.jobs) + 1}"
        self.jobs.setdefault(reference, job)
        if job.quotes_are_old and self.fresh is not None:
            self.offers = self.fresh
        return Quoted(reference=reference, quotes=tuple(self.offers), silent=self.silent)

    def buy(self, reference: str, quote: Quote) -> Label:
        self.calls.append(f"buy {quote.carrier}")
        if reference in self.printed:
            raise StateConflict(f"{reference} is bought already")
        trouble = self.trouble.get(quote.carrier)
        if trouble is None or self.after:
            self.printed[reference] = self._label(quote)
        if trouble is not None:
            raise trouble
        return self.printed[reference]

    def _label(self, quote: Quote) -> Label:
        number = f"{quote.carrier}-{len(self.printed) + 1}"
        return Label(
            carrier=quote.carrier,
            service=quote.service,
            tracking_number=number,
            cost=quote.price,
            currency=quote.currency,
            label_url=f"https://labels.example/{number}.zpl",
        )

    def document(self, label: Label) -> LabelDocument:
        if self.no_document is not None:
            raise self.no_document
        return LabelDocument.of(f"^XA^FD{label.tracking_number}^FS^XZ\n".encode())

    def bought(self, reference: str) -> Label | None:
        self.calls.append("bought?")
        return self.printed.get(reference)

    def void(self, reference: str) -> None:
        self.voided.append(reference)

    def is_void(self, reference: str) -> bool:
        return reference in self.voided

    def track(self, carrier: str, tracking_number: str) -> tuple[tuple[Scan, ...], date | None]:
        return (), None

    @property
    def live(self) -> list[Label]:
        """The labels that were paid for and not given back."""
        return [label for reference, label in self.printed.items() if reference not in self.voided]

    def loses_its_answer(self, carrier: str = "UPS") -> None:
        """Print the next label, and let nobody know."""
        self.trouble, self.after = {carrier: OutcomeUnknown("the answer is lost")}, True

    def heals(self) -> None:
        """Do from now on what it is asked for."""
        self.trouble, self.after = {}, False

    def offer(self, *offers: Quote) -> None:
        """Ask for these prices from now on."""
        self.offers = offers


def corrected(address: Address, **parts: str) -> AddressAnswer:
    """Return that the carriers know an address in another form."""
    return AddressAnswer(verdict=Verdict.CORRECTED, suggestion=replace(address, **parts))
