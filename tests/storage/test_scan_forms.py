"""Scan forms: the deed over real books and a carrier in memory. Asked once, kept byte for byte, never on two."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError

from activities.dock import DockActivities
from fulfillment.domain.manifests import UnknownManifest
from fulfillment.domain.provider_errors import AuthConfig, OutcomeUnknown, Rejected
from fulfillment.domain.record import StopShipments
from fulfillment.domain.scan_forms import (
    FormDocument,
    FormSnapshot,
    FormState,
    NothingForAForm,
    ScanForm,
    UnknownForm,
)
from fulfillment.storage.audit import AuditStore
from fulfillment.storage.tables import scan_forms
from tests.storage.house import House

LIST = "M-wh-reno-UPS-20261123-1"
FORM = f"{LIST}-F1"
PDF = b"%PDF-1.4 the form"


class Maker:
    """A carrier that makes forms, once per shipment, and says that it makes one before it has made it."""

    def __init__(self) -> None:
        self.forms: dict[str, FormSnapshot] = {}
        self.on: dict[str, str] = {}
        self.asked: list[tuple[str, ...]] = []
        self.loses_the_answer = False
        self.says: Exception | None = None
        self.makes = FormState.MADE

    def ask_for_form(self, shipments: Sequence[str]) -> FormSnapshot:
        self.asked.append(tuple(shipments))
        if self.says:
            raise self.says
        if set(shipments) & set(self.on):
            return FormSnapshot(reference="sf_0", state=FormState.REFUSED, said="is on a form already")
        form = FormSnapshot(reference=f"sf_{len(self.forms) + 1}", state=FormState.ASKED)
        self.forms[form.reference] = form
        self.on |= dict.fromkeys(shipments, form.reference)
        if self.loses_the_answer:
            self.loses_the_answer = False
            raise OutcomeUnknown("no answer")
        return form

    def form(self, reference: str) -> FormSnapshot:
        return replace(self.forms[reference], state=self.makes, url="/form.pdf", said="too late today")

    def form_of(self, shipment: str) -> FormSnapshot | None:
        return self.forms.get(self.on.get(shipment, ""))

    def form_document(self, form: FormSnapshot) -> FormDocument:
        return FormDocument.of(PDF)


class Dock:
    """A list with two parcels, and the deed."""

    def __init__(self, house: House) -> None:
        self.house, self.maker = house.stocked(), Maker()
        self.deeds = DockActivities(self.maker, house.scan_forms)
        for n in (1, 2):
            house.labeled(f"SO-{n}", number=f"1Z{n}", mugs=1, teas=0)
        self.make()

    def make(self) -> None:
        self.house.manifests.make("wh-reno", "UPS", by="pia")

    def ask(self) -> str:
        return self.house.scan_forms.ask(LIST, by="pia")

    def get(self, form_id: str = FORM) -> FormState | None:
        """Do the deed as Temporal does: again after trouble, never after a refusal."""
        for _ in range(5):
            try:
                return self.deeds.make_scan_form(form_id)
            except ApplicationError as error:
                if error.non_retryable:
                    raise
        raise AssertionError("it never ended")

    def forms(self) -> tuple[ScanForm, ...]:
        return self.house.manifests.show(LIST).forms


@pytest.fixture
def dock(house: House) -> Dock:
    return Dock(house)


def test_a_form_is_asked_for_once_for_what_waits_and_kept_as_it_came(dock: Dock) -> None:
    assert dock.ask() == dock.ask() == FORM
    asked = dock.forms()
    assert dock.get() is FormState.MADE
    assert dock.get() is None

    assert [form.state.value for form in (*asked, *dock.forms())] == ["asked", "made"]
    assert dock.forms()[0].parcels == ("SO-1-P1", "SO-2-P1")
    assert dock.house.scan_forms.document(FORM).content == PDF
    assert len(dock.maker.asked) == 1


def test_what_is_labeled_later_is_on_a_form_of_its_own(dock: Dock) -> None:
    dock.ask()
    dock.get()
    with pytest.raises(NothingForAForm, match="make the list again"):
        dock.ask()
    dock.house.labeled("SO-3", number="1Z3", mugs=1, teas=0)
    dock.make()
    second = dock.ask()
    dock.get(second)

    assert [form.parcels for form in dock.forms()] == [("SO-1-P1", "SO-2-P1"), ("SO-3-P1",)]
    assert sorted(map(len, dock.maker.asked)) == [1, 2]


def test_a_form_whose_answer_was_lost_is_found_by_its_parcels(dock: Dock) -> None:
    dock.ask()
    dock.maker.loses_the_answer = True

    assert dock.get() is FormState.MADE

    assert len(dock.maker.asked) == 1
    assert dock.house.row(scan_forms)["provider_ref"] == "sf_1"


def test_a_no_is_read_before_it_is_believed(dock: Dock) -> None:
    """Another attempt, thought dead, was faster: "on a form already" is this very one."""
    dock.ask()
    claimed = dock.house.scan_forms.claim(FORM)
    assert claimed
    dock.maker.ask_for_form(claimed.shipments)

    assert dock.get() is FormState.MADE


@pytest.mark.parametrize("no", [Rejected("no such service"), None])
def test_what_a_carrier_makes_no_form_of_says_why_and_may_be_asked_again(
    dock: Dock, no: Exception | None
) -> None:
    dock.ask()
    dock.maker.says, dock.maker.makes = no, FormState.REFUSED

    assert dock.get() is FormState.REFUSED

    (form,) = dock.forms()
    assert (form.said, form.parcels) == ("no such service" if no else "too late today", ())
    with pytest.raises(UnknownForm):
        dock.house.scan_forms.document(FORM)
    assert dock.ask() == f"{LIST}-F2"


def test_a_provider_without_forms_says_what_to_do_instead(dock: Dock) -> None:
    dock.ask()

    assert DockActivities(None, dock.house.scan_forms).make_scan_form(FORM) is FormState.REFUSED

    assert "let the driver scan every parcel" in dock.forms()[0].said


def test_wrong_credentials_are_not_the_carriers_answer(dock: Dock) -> None:
    dock.ask()
    dock.maker.says = AuthConfig("wrong key")

    with pytest.raises(ApplicationError):
        dock.deeds.make_scan_form(FORM)

    assert dock.forms()[0].state is FormState.ASKED


def test_a_form_of_which_every_parcel_was_called_back_is_not_asked_for(dock: Dock) -> None:
    dock.ask()
    for n in (1, 2):
        stop = StopShipments(order_id=f"SO-{n}", reason="changed_mind", by="maria", request_id=f"r-{n}")
        dock.house.records.stop_shipments(stop)
    dock.make()

    assert dock.get() is FormState.REFUSED
    assert dock.maker.asked == []


def test_a_list_nobody_knows_has_no_form(dock: Dock) -> None:
    with pytest.raises(UnknownManifest):
        dock.house.scan_forms.ask("M-nowhere", by="pia")


def test_a_form_that_nobody_gets_is_found_by_the_sweep(dock: Dock) -> None:
    dock.ask()
    early = dock.house.reconciliation.sweep().due_forms
    dock.house.wait(timedelta(hours=1))
    late = dock.house.reconciliation.sweep().due_forms
    dock.get()

    assert (early, late) == ((), (FORM,))
    assert dock.house.reconciliation.sweep().due_forms == ()


def test_the_audit_reads_which_form_a_label_is_on(dock: Dock) -> None:
    def on() -> set[str | None]:
        return {label.form for label in AuditStore(dock.house.engine, dock.house.now).books().labels}

    before = on()
    dock.ask()
    asked = on()
    dock.get()

    assert (before, asked, on()) == ({None}, {""}, {"sf_1"})
