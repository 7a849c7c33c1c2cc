"""Scan forms: asked for once for every label, and kept as the carrier sent them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, bindparam, func, insert, select, update

from fulfillment.crashpoints import crashpoint
from fulfillment.domain.manifests import Departure, UnknownManifest
from fulfillment.domain.scan_forms import (
    FormDocument,
    FormSnapshot,
    FormState,
    NothingForAForm,
    ScanForm,
    ScanFormJob,
    UnknownForm,
)
from fulfillment.storage import journal, locks
from fulfillment.storage.tables import labels, manifest_parcels, manifests, scan_forms

_S = FormState
_MANIFEST: Final = select(manifests.c.manifest_id).where(manifests.c.manifest_id == bindparam("the_manifest"))
_ON_A_FORM: Final = select(manifest_parcels.c.label_id).where(manifest_parcels.c.form_id.is_not(None))
_TO_BE_ON_ONE: Final = (
    select(manifest_parcels.c.parcel_id)
    .join(labels, labels.c.label_id == manifest_parcels.c.label_id)
    .where(
        manifest_parcels.c.manifest_id == bindparam("the_manifest"),
        manifest_parcels.c.outcome == Departure.LISTED.value,
        manifest_parcels.c.label_id.not_in(_ON_A_FORM),
        labels.c.state == "live",
    )
)
_COUNT: Final = select(func.count()).where(scan_forms.c.manifest_id == bindparam("the_manifest"))
_ASKED_OF: Final = select(scan_forms.c.form_id).where(
    scan_forms.c.manifest_id == bindparam("the_manifest"), scan_forms.c.state == _S.ASKED.value
)
_ADD: Final = insert(scan_forms)
_PUT_ON: Final = update(manifest_parcels).where(
    manifest_parcels.c.manifest_id == bindparam("the_manifest"),
    manifest_parcels.c.parcel_id.in_(bindparam("those", expanding=True)),
)
_TAKE_OFF: Final = update(manifest_parcels).where(manifest_parcels.c.form_id == bindparam("the_form"))
_FORM: Final = select(scan_forms).where(scan_forms.c.form_id == bindparam("the_form"))
_THIS_ASKED: Final = update(scan_forms).where(
    scan_forms.c.form_id == bindparam("the_form"), scan_forms.c.state == _S.ASKED.value
)
_SHIPMENTS: Final = (
    select(labels.c.provider_shipment_ref)
    .join(manifest_parcels, manifest_parcels.c.label_id == labels.c.label_id)
    .where(manifest_parcels.c.form_id == bindparam("the_form"))
    .order_by(manifest_parcels.c.parcel_id)
)
_OF_MANIFESTS: Final = (
    select(*scan_forms.c["form_id", "manifest_id", "state", "said", "by", "at"])
    .where(scan_forms.c.manifest_id.in_(bindparam("those", expanding=True)))
    .order_by(scan_forms.c.at, scan_forms.c.form_id)
)
_PARCELS: Final = (
    select(manifest_parcels.c.form_id, manifest_parcels.c.parcel_id)
    .where(manifest_parcels.c.form_id.in_(bindparam("those", expanding=True)))
    .order_by(manifest_parcels.c.parcel_id)
)
_LEFT_LYING: Final = (
    select(scan_forms.c.form_id)
    .where(scan_forms.c.state == _S.ASKED.value, scan_forms.c.at <= bindparam("asked_before"))
    .order_by(scan_forms.c.at)
)


class ScanFormStore:
    """Our record of scan forms. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine, self._now = engine, now

    def ask(self, manifest_id: str, *, by: str) -> str:
        """Put every parcel that waits on a form, and return its id. While one is asked for, that is it.

        Raises:
            UnknownManifest: there is none.
            NothingForAForm: every parcel is on a form, or has left.
        """
        this, now = {"the_manifest": manifest_id}, self._now()
        with self._engine.begin() as conn:
            locks.named(conn, "manifests")
            if conn.execute(_MANIFEST, this).first() is None:
                raise UnknownManifest(manifest_id)
            asked: str | None = conn.execute(_ASKED_OF, this).scalar()
            if asked is not None:
                return asked
            parcels = list(conn.execute(_TO_BE_ON_ONE, this).scalars())
            if not parcels:
                raise NothingForAForm(manifest_id)
            form_id = f"{manifest_id}-F{conn.execute(_COUNT, this).scalar_one() + 1}"
            conn.execute(_ADD, {"form_id": form_id, "manifest_id": manifest_id, "by": by, "at": now})
            conn.execute(_PUT_ON.values(form_id=form_id), this | {"those": parcels})
            journal.audit(conn, None, actor=by, command="ask_for_scan_form", outcome=form_id, at=now)
            return form_id

    def claim(self, form_id: str) -> ScanFormJob | None:
        """Claim a request to the carrier; None when it is over."""
        with self._engine.begin() as conn:
            row = conn.execute(_FORM, {"the_form": form_id}).one()
            shipments = tuple(conn.execute(_SHIPMENTS, {"the_form": form_id}).scalars())
        if row.state != _S.ASKED.value:
            return None
        return ScanFormJob(
            form_id=form_id, shipments=shipments, reference=row.provider_ref or "", sends=row.sends
        )

    def sending(self, form_id: str) -> None:
        """Count a sending, before it leaves."""
        self._note(form_id, sends=scan_forms.c.sends + 1)
        crashpoint("scan_form.after_claim")

    def known(self, form_id: str, reference: str) -> None:
        """Note what the provider calls it."""
        self._note(form_id, provider_ref=reference)
        crashpoint("scan_form.after_record")

    def made(self, form_id: str, form: FormSnapshot, document: FormDocument) -> None:
        """Keep what is printed, as it came."""
        kept = {"content": document.content, "sha256": document.sha256, "provider_ref": form.reference}
        self._note(form_id, state=_S.MADE.value, **kept)

    def refused(self, form_id: str, said: str) -> None:
        """Note why the carrier makes none; its parcels may be on another one."""
        with self._engine.begin() as conn:
            told = _THIS_ASKED.values(state=_S.REFUSED.value, said=said)
            if conn.execute(told, {"the_form": form_id}).rowcount:
                conn.execute(_TAKE_OFF.values(form_id=None), {"the_form": form_id})

    def document(self, form_id: str) -> FormDocument:
        """Return what is printed.

        Raises:
            UnknownForm: there is no such form, or it is not made.
        """
        with self._engine.connect() as conn:
            row = conn.execute(_FORM, {"the_form": form_id}).first()
        if row is None or row.content is None:
            raise UnknownForm(form_id)
        return FormDocument(content=bytes(row.content))

    def _note(self, form_id: str, **values: Any) -> None:
        with self._engine.begin() as conn:
            conn.execute(_THIS_ASKED.values(**values), {"the_form": form_id})


def of_manifests(conn: Connection, manifest_ids: Sequence[str]) -> dict[str, tuple[ScanForm, ...]]:
    """Return the forms of these manifests, the oldest first."""
    rows = conn.execute(_OF_MANIFESTS, {"those": manifest_ids}).all()
    on_them = conn.execute(_PARCELS, {"those": [row.form_id for row in rows]}).all()
    forms = [_form(row, [one.parcel_id for one in on_them if one.form_id == row.form_id]) for row in rows]
    return {name: tuple(form for form in forms if form.manifest_id == name) for name in manifest_ids}


def left_lying(conn: Connection, *, asked_before: datetime, at_most: int) -> tuple[str, ...]:
    """Return the forms that were asked for before an instant, and are neither made nor refused."""
    return tuple(conn.execute(_LEFT_LYING.limit(at_most), {"asked_before": asked_before}).scalars())


def _form(row: Row[Any], parcels: Sequence[str]) -> ScanForm:
    return ScanForm(
        form_id=row.form_id,
        manifest_id=row.manifest_id,
        state=FormState(row.state),
        parcels=tuple(parcels),
        said=row.said,
        by=row.by,
        at=row.at,
    )
