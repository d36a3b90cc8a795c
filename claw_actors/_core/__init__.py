"""Decisions, and nothing else: standard library and attrs only.

No Trio, no SQL, no clock, no randomness: ``now`` and jitter come in as arguments, and every
decision is a synchronous function that returns a value. ``tests/test_architecture.py`` holds
that.

- ``lifecycle``: the statuses of a workflow and the one table of its transitions.
- ``journal``: the records that progress is made of. ``identity``: ids, paths, keys and seeds.
- ``replay``: what a stored journal means to a function that runs again from the top.
- Other questions to a journal. ``offspring``: which children there are; ``rollback``: how far it
  was undone; ``requests``: which messages want a reply; ``forking``: what a fork begins with.
- ``failures``: an exception as a record; ``error_data``: as data that becomes an exception again.
- ``retry``, ``restart``: what to do after a failed attempt, a crash. ``triage``: after an end of the
  whole process: who comes back, with whom, and who does not.
- ``retention``: which ended workflows may go.
- ``heartbeat``, ``transacting``: what a long body tells, and what a transactional one is given.
- ``supervision``: the decisions of a supervisor.
- ``bounds``, ``backoff``: a check and a delay that declarations share. ``lines``: lines out of a
  stream of bytes.
"""
