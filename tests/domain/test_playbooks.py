"""Playbooks: no kind of trouble is without one."""

import pytest

from fulfillment.domain.cases import CaseKind
from fulfillment.domain.playbooks import PLAYBOOKS


@pytest.mark.parametrize("kind", CaseKind)
def test_every_kind_of_case_has_a_playbook_with_a_step(kind: CaseKind) -> None:
    assert kind in PLAYBOOKS, f"{kind} has no playbook: whoever opens such a case fails"
    assert PLAYBOOKS[kind].steps
