"""The witnesses: a check over what could not be read proves nothing."""

from fulfillment.domain.invariants.check import Found, invariant
from fulfillment.domain.invariants.facts import Evidence


@invariant(
    "every witness answered",
    "I5 I12",
    sees="witnesses",
    claim="our books, the providers' ledger and Temporal could be read",
    remedy="start what is away (`./waybill up`), then ask again: until then the audit proves little",
)
def everything_was_read(evidence: Evidence) -> Found:
    witnesses = [w for w in (evidence.books, evidence.ledger, evidence.runs) if w is not None]
    return Found(len(witnesses), [witness.away for witness in witnesses if witness.away])
