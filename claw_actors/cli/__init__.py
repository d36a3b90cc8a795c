"""The command line ``claw``: what an operator does, from a terminal or a script.

It uses what any program could: ``open_client``, ``open_runtime``, ``back_up``, ``restore``,
``examine``, ``load_config``.

- ``program``: the command ``claw`` itself, and what errors become. ``exits``: the exit codes.
- ``desk``: what the commands share: which database, and how to answer.
- ``looking``, ``acting``, ``starting``, ``copying``, ``examining``, ``exporting``, ``foreseeing``,
  ``pruning``, ``counting``, ``demonstrating``, ``running``: the commands.
- ``ids``: what a shell completes. ``filters``: which workflows are meant. ``parameters``: JSON and
  labels, given as text. ``targets``: whose code is imported. ``archive``: the records of an export.
- ``output``: JSON lines, tables, times. ``progress``: how far something is. ``log_lines``: the log
  of ``claw run``. ``destination``: a file, or stdout.
"""

from .program import main as main

__all__ = ["main"]
