"""Decisions, and nothing else: standard library and attrs only.

No Trio, no SQL, no clock, no randomness: ``now`` and jitter come in as arguments, and every
decision is a synchronous function that returns a value. ``tests/test_architecture.py`` holds
that.

- ``lifecycle``: the statuses of a workflow and the one table of its transitions.
- ``journal``: the records that progress is made of.
- ``replay``: what a stored journal means to a function that runs again from the top.
- ``identity``: ids, paths, keys and seeds.
- ``failures``: an exception as a record.
- ``retry``, ``restart``: what to do after a failed attempt, a crash, an unclean end.
- ``bounds``, ``backoff``: a check and a delay that declarations share.
"""
