"""The dock: which parcels a carrier takes together, and which of them it really took."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Row, bindparam, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert

from fulfillment.domain.errors import FulfillmentError
from fulfillment.domain.hand_over import Evidence, Proof
from fulfillment.domain.manifests import (
    Departure,
    Manifest,
    ManifestLine,
    NothingToHandOver,
    NotOnManifest,
    UnknownManifest,
)
from fulfillment.domain.policy import DEFAULT, Policy
from fulfillment.domain.scan_forms import ScanForm
from fulfillment.domain.shipment import WorkStatus
from fulfillment.storage import journal, locks, scan_forms
from fulfillment.storage.tables import (
    holds,
    labels,
    locations,
    manifest_parcels,
    manifests,
    parcels,
    shipments,
)
from fulfillment.storage.warehouse import WarehouseStore

_D = Departure
_NOT_IN_AN_ID: Final = re.compile(r"[^A-Za-z0-9]+")

_READY: Final = (
    select(parcels.c.parcel_id, labels.c.label_id)
    .select_from(parcels)
    .join(shipments, shipments.c.shipment_id == parcels.c.shipment_id)
    .join(labels, (labels.c.parcel_id == parcels.c.parcel_id) & (labels.c.state == "live"))
    .where(shipments.c.work_status == WorkStatus.LABELED.value)
)
_READY_HERE: Final = _READY.where(
    shipments.c.location_id == bindparam("there"),
    labels.c.carrier == bindparam("the_carrier"),
    ~exists().where(holds.c.order_id == parcels.c.order_id, holds.c.state == "active"),
).order_by(parcels.c.parcel_id)
# A label that is used has left, though its line may not say so yet.
_STRIKE: Final = delete(manifest_parcels).where(
    manifest_parcels.c.outcome == _D.LISTED.value,
    manifest_parcels.c.label_id.not_in(_READY.with_only_columns(labels.c.label_id)),
    ~exists().where(labels.c.label_id == manifest_parcels.c.label_id, labels.c.state == "used"),
)
_LIST: Final = insert(manifest_parcels).on_conflict_do_nothing()
_OPEN: Final = select(manifests.c.manifest_id).where(
    manifests.c.location_id == bindparam("there"),
    manifests.c.carrier == bindparam("the_carrier"),
    manifests.c.handed_over_at.is_(None),
)
_OF_THE_DAY: Final = select(func.count()).where(
    func.starts_with(manifests.c.manifest_id, bindparam("the_day"))
)
_ADD: Final = insert(manifests)
_ZONE: Final = select(locations.c.zone).where(locations.c.location_id == bindparam("there"))
_MANIFEST: Final = select(manifests).where(manifests.c.manifest_id == bindparam("the_manifest"))
_LATEST: Final = select(manifests).order_by(manifests.c.at.desc(), manifests.c.manifest_id.desc()).limit(100)
_LINES: Final = (
    select(
        manifest_parcels,
        *parcels.c["shipment_id", "weight_g"],
        labels.c.tracking_number,
        (labels.c.state == "used").label("has_left"),
    )
    .join(parcels, parcels.c.parcel_id == manifest_parcels.c.parcel_id)
    .join(labels, labels.c.label_id == manifest_parcels.c.label_id)
    .where(manifest_parcels.c.manifest_id.in_(bindparam("those", expanding=True)))
    .order_by(manifest_parcels.c.parcel_id)
)
_BECOME: Final = update(manifest_parcels).where(
    manifest_parcels.c.manifest_id == bindparam("the_manifest"),
    manifest_parcels.c.parcel_id == bindparam("the_parcel"),
)
_HAND_OVER: Final = update(manifests).where(
    manifests.c.manifest_id == bindparam("the_manifest"), manifests.c.handed_over_at.is_(None)
)


class ManifestStore:
    """Manifests. `now` is shop time."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], *, policy: Policy = DEFAULT) -> None:
        self._engine, self._now = engine, now
        self._floor = WarehouseStore(engine, now, policy=policy)

    def make(self, location_id: str, carrier: str, *, by: str) -> Manifest:
        """Return the open list of a carrier at a location, with every parcel on it that may leave now.

        Once more before the driver comes: what was labeled meanwhile joins it, what may not leave any more is struck.

        Raises:
            NothingToHandOver: nothing of this carrier is ready there.
        """
        here = {"there": location_id, "the_carrier": carrier}
        with self._engine.begin() as conn:
            locks.named(conn, "manifests")
            conn.execute(_STRIKE)
            ready = conn.execute(_READY_HERE, here).all()
            manifest_id: str | None = conn.execute(_OPEN, here).scalar()
            if not ready and manifest_id is None:
                raise NothingToHandOver(location_id, carrier)
            manifest_id = manifest_id or self._begin(conn, location_id, carrier, by)
            rows = [row._asdict() | {"manifest_id": manifest_id} for row in ready]
            if rows:
                conn.execute(_LIST, rows)
            return _manifest(conn, manifest_id)

    def show(self, manifest_id: str) -> Manifest:
        """Return a manifest.

        Raises:
            UnknownManifest: there is none.
        """
        with self._engine.connect() as conn:
            return _manifest(conn, manifest_id)

    def latest(self) -> tuple[Manifest, ...]:
        """Return the latest manifests, the newest first."""
        with self._engine.connect() as conn:
            rows = conn.execute(_LATEST).all()
            return _manifests(conn, rows)

    def hand_over(self, manifest_id: str, codes: Sequence[str], *, by: str, proof: Proof) -> Manifest:
        """Hand over what the driver took, by parcel or tracking number, and find what he did not. A repeat is harmless.

        Each parcel leaves by itself: one that may not leave keeps no other one here. What was missing may be handed
        over later under the same list.

        Raises:
            UnknownManifest: there is none.
            NotOnManifest: something else was taken; nothing was handed over.
        """
        with self._engine.connect() as conn:
            _row(conn, manifest_id)
            lines = _lines(conn, manifest_id)
        for line in _taken(manifest_id, lines, codes):
            self._let_go(line, by, Proof(evidence=proof.evidence, ref=proof.ref or manifest_id))
        with self._engine.begin() as conn:
            self._close(conn, manifest_id, by, proof)
            return _manifest(conn, manifest_id)

    def _begin(self, conn: Connection, location_id: str, carrier: str, by: str) -> str:
        zone = conn.execute(_ZONE, {"there": location_id}).scalar_one()
        day = self._now().astimezone(ZoneInfo(zone)).date()
        name = f"M-{location_id}-{_NOT_IN_AN_ID.sub('-', carrier)}-{day:%Y%m%d}-"
        manifest_id = f"{name}{conn.execute(_OF_THE_DAY, {'the_day': name}).scalar_one() + 1}"
        row = {"manifest_id": manifest_id, "location_id": location_id, "carrier": carrier}
        conn.execute(_ADD, row | {"by": by, "at": self._now()})
        return manifest_id

    def _let_go(self, line: Row[Any], by: str, proof: Proof) -> None:
        """Hand one parcel over, or note why it may not leave."""
        try:
            self._floor.hand_over(line.shipment_id, by=by, proof=proof, label_id=line.label_id)
            outcome, why = _D.LEFT, ""
        except FulfillmentError as no:
            outcome, why = _D.REFUSED, str(no)
        with self._engine.begin() as conn:
            _become(conn, line, outcome, why)

    def _close(self, conn: Connection, manifest_id: str, by: str, proof: Proof) -> None:
        now = self._now()
        for line in _lines(conn, manifest_id):
            if line.outcome == _D.LISTED.value and line.has_left:
                _become(conn, line, _D.LEFT, "")
            elif line.outcome == _D.LISTED.value:
                _become(conn, line, _D.MISSING, "it was not among what was taken")
        evidence = {"evidence": proof.evidence.value, "evidence_ref": proof.ref, "handed_over_by": by}
        first = conn.execute(
            _HAND_OVER.values(evidence | {"handed_over_at": now}), {"the_manifest": manifest_id}
        )
        if first.rowcount:
            journal.audit(conn, None, actor=by, command="hand_over_manifest", outcome=manifest_id, at=now)


def _taken(manifest_id: str, lines: Sequence[Row[Any]], codes: Sequence[str]) -> list[Row[Any]]:
    """Return the lines that were scanned and have not left yet."""
    known = {code: line for line in lines for code in (line.parcel_id, line.tracking_number)}
    if strange := sorted(set(codes) - set(known)):
        raise NotOnManifest(manifest_id, strange)
    scanned = {known[code].parcel_id: known[code] for code in codes}
    return [line for line in scanned.values() if line.outcome != _D.LEFT.value]


def _become(conn: Connection, line: Row[Any], outcome: Departure, why: str) -> None:
    this = {"the_manifest": line.manifest_id, "the_parcel": line.parcel_id}
    conn.execute(_BECOME.values(outcome=outcome.value, why=why), this)


def _row(conn: Connection, manifest_id: str) -> Row[Any]:
    row = conn.execute(_MANIFEST, {"the_manifest": manifest_id}).first()
    if row is None:
        raise UnknownManifest(manifest_id)
    return row


def _lines(conn: Connection, *manifest_ids: str) -> Sequence[Row[Any]]:
    return conn.execute(_LINES, {"those": manifest_ids}).all()


def _manifest(conn: Connection, manifest_id: str) -> Manifest:
    (manifest,) = _manifests(conn, [_row(conn, manifest_id)])
    return manifest


def _manifests(conn: Connection, rows: Sequence[Row[Any]]) -> tuple[Manifest, ...]:
    ids = [row.manifest_id for row in rows]
    lines, forms = _lines(conn, *ids), scan_forms.of_manifests(conn, ids)
    return tuple(
        _from(row, [line for line in lines if line.manifest_id == row.manifest_id], forms[row.manifest_id])
        for row in rows
    )


def _from(row: Row[Any], lines: Sequence[Row[Any]], forms: tuple[ScanForm, ...]) -> Manifest:
    return Manifest(
        manifest_id=row.manifest_id,
        location_id=row.location_id,
        carrier=row.carrier,
        by=row.by,
        at=row.at,
        lines=tuple(
            ManifestLine(
                parcel_id=line.parcel_id,
                shipment_id=line.shipment_id,
                tracking_number=line.tracking_number,
                weight_g=line.weight_g,
                outcome=Departure(line.outcome),
                why=line.why,
            )
            for line in lines
        ),
        forms=forms,
        proof=Proof(evidence=Evidence(row.evidence), ref=row.evidence_ref) if row.evidence else None,
        handed_over_by=row.handed_over_by or "",
        handed_over_at=row.handed_over_at,
    )
