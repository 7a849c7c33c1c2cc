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
    witnesses = [witness for witness in (evidence.ledger, evidence.runs) if witness is not None]
    return Found(1 + len(witnesses), [witness.away for witness in witnesses if witness.away])
