"""The Trio shell: what runs workflows on storage and supervision.

In the order in which one meets them, from the outside in:

- The door. ``opening``: ``open_runtime``, the order of lives. ``runtime``: :class:`Runtime`;
  ``handle``: :class:`WorkflowHandle`; ``statistics``: what has been done. ``config``,
  ``environment``: what users and tests set. ``registry``: workflows by name and version.
- Acting from outside. ``starting``: under an id that may be taken. ``intervention``: what an
  operator may do, of ``lifecycle``: cancel, pause, resume, terminate, retry, fork; ``removal``:
  deletion; and ``pruning``: of what has ended, by rule; ``retention``: now and then.
  ``correspondence``: messages to workflows; ``shown``: what these show. ``changes``: who waits
  for either. ``control``: all of it from another process.
- Who is in memory. ``cells``: all of them; ``cell``: what survives an incarnation's death;
  ``lives``: how the next one begins; ``crashes``: respawn or quarantine. ``recovery``: what comes
  back at start, of a ``survey`` of what is unfinished; ``recovery_report`` says what has,
  ``recovery_plan`` what would. ``idling``: who leaves; ``wakes``: when those who left are due;
  ``timers``: the one who watches deadlines. ``subjects``: how the log names an instance.
- One life of one instance. ``incarnation``: from checkpoint to end; ``driver``: runs the author's
  code, and refuses foreign awaits; ``rollback``, ``closing``, ``continuing``: what the end of the
  function brings about. ``rest``, ``leaving``: how it leaves memory, and how it is stopped;
  ``stopping``: what a stop of all of them has cut off.
- Its order. ``sequencer``: who has the turn, and what is delivered next. ``turns``: the turn
  itself; ``strand``: one sequence of operations; ``operation``: what a strand waits for;
  ``waiting``: all of these; ``operations``: how they begin and end; ``upcoming``: entries not
  delivered yet. ``writes``, ``outbox``: what is stored, now or with the next write.
- What workflow code holds. ``context``: :class:`Context`, of ``bearings`` (time, chance, place),
  ``messaging`` and ``parenting``. ``instants``: lengths and deadlines, checked. ``nursery``,
  ``children``, ``parallel``: things side by side; ``scopes``: durable time-outs;
  ``coordination``, ``channel``: locks, events, channels.
- Tasks. ``signatures``: arguments and results as bytes; ``calls``: a call, run or replayed;
  ``undertaking``: a call, and one that is worked on; ``attempts``: until it is done with;
  ``bodies``: once; ``endings``: how that ends; ``open_work``: where it stands, ``long_running``:
  which of them is noted, ``heartbeat``: what they tell of themselves. ``transacting``: bodies that
  are part of a commit.
- Messages and child workflows. ``inbox``: messages not received yet; ``replies``: answers to
  requests. ``births``: how children are created; ``brood``: which there are; ``child_handle``: one
  of them.
"""
