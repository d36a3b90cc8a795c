"""The Trio shell: what runs workflows on storage and supervision.

- ``opening``: ``open_runtime``, the order of lives. ``runtime``: :class:`Runtime`.
- ``statistics``: what it has done. ``handle``: :class:`WorkflowHandle`.
- ``cells``: what survives an incarnation's death; activation, respawn, quarantine.
- ``incarnation``: one life of one instance. ``sequencer``: who has the turn, and what is
  delivered next. ``operation``: what a context waits for. ``context``: what workflow code holds.
- ``attempts``: task bodies with their retries. ``long_running``: which of them run for long.
  ``outbox``: notes that nobody waits for. ``driver``: refuses foreign awaits.
- ``recovery``: what comes back at start. ``timers``: the one who watches deadlines.
- ``signatures``: arguments and results as bytes. ``registry``: workflows by name and version.
- ``config``, ``environment``: what users and tests set.
"""
