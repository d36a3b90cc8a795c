"""Who comes back at an opening: verdicts, what counts, and how far room matters."""

from __future__ import annotations

import pytest

from claw_actors._core.lifecycle import Status
from claw_actors._core.triage import RecoveryVerdict, Triage, decide_recovery

TOGETHER, ALONE = RecoveryVerdict.TOGETHER, RecoveryVerdict.ALONE
QUARANTINE, IN_TURN = RecoveryVerdict.QUARANTINE, RecoveryVerdict.IN_TURN


def judged(triage: Triage, status=Status.RUNNING, wake_at=None, recoveries=0, known=True):
    return triage.judge(status=status, wake_at=wake_at, recoveries=recoveries, known=known)


def a_triage(counted=True, limit=3, now=100.0, room=10) -> Triage:
    return Triage(counted=counted, limit=limit, now=now, room=room)


def test_an_instance_without_a_record_comes_back_with_the_others():
    """Nothing speaks against it."""
    assert decide_recovery(0, 3) is TOGETHER


def test_a_suspect_comes_back_alone_and_a_culprit_not_at_all():
    """One recovery without progress makes a suspect, the limit a culprit."""
    assert [decide_recovery(n, 3) for n in range(1, 5)] == [ALONE, ALONE, QUARANTINE, QUARANTINE]


def test_after_a_clean_end_nobody_is_suspected():
    """Whatever was counted before, this opening comes after no death."""
    assert judged(a_triage(counted=False), recoveries=99) is TOGETHER
    assert judged(a_triage(), recoveries=99) is QUARANTINE


def test_a_respawn_waits_for_its_time():
    """A pending one until it is due, and no longer; a running one has no such time."""
    triage = a_triage(now=100.0)
    assert judged(triage, Status.PENDING, wake_at=100.1) is RecoveryVerdict.LATER
    assert judged(triage, Status.PENDING, wake_at=100.0) is TOGETHER
    assert judged(triage, Status.PENDING) is TOGETHER
    assert judged(triage, Status.RUNNING, wake_at=100.1) is TOGETHER


def test_unknown_code_comes_before_everything_but_a_turn():
    """Neither suspected nor delayed: nobody could run it."""
    assert judged(a_triage(), recoveries=99, known=False) is RecoveryVerdict.UNKNOWN
    later = judged(a_triage(), Status.PENDING, wake_at=1e9, known=False)
    assert later is RecoveryVerdict.UNKNOWN


def test_only_what_fell_due_has_to_wait_for_room():
    """What ran comes back at once, however many; what waited, as long as there is room."""
    triage = a_triage(room=2)
    assert [judged(triage, Status.WAITING, 50.0) for _ in range(3)] == [TOGETHER, TOGETHER, IN_TURN]
    assert [judged(triage) for _ in range(3)] == [TOGETHER] * 3


def test_only_those_that_come_back_take_room():
    """One in quarantine, unknown or delayed leaves it to others."""
    triage = a_triage(room=1)
    judged(triage, recoveries=3)
    judged(triage, known=False)
    judged(triage, Status.PENDING, wake_at=1e9)
    assert judged(triage, Status.WAITING, 50.0, recoveries=1) is ALONE
    assert judged(triage, Status.WAITING, 50.0) is IN_TURN


@pytest.mark.parametrize("verdict", RecoveryVerdict)
def test_each_verdict_says_whether_it_is_the_end(verdict):
    """Three of them need somebody to act."""
    left = {QUARANTINE, RecoveryVerdict.UNKNOWN, RecoveryVerdict.DAMAGED}
    assert verdict.comes_back == (verdict not in left)
