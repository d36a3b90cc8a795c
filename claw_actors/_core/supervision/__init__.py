"""The decisions of a supervisor, pure: policy, the state of a child, and the machine over both.

- ``policy``: restart types, strategies, the restart window, delays.
- ``child``: a child as these decisions see it. ``deadlines``, ``breaker``: what is due when.
- ``actions``: what the machine is told, and what it tells to do. ``machine``: what follows.
"""
