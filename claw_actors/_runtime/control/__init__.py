"""Acting from another process: the owner's control socket, and the visitor where no owner lives.

- ``requests``: what can be asked for, a closed list, and how it is done. ``steps``: pruning, in
  requests that are short; ``figures``: how the owner is.
- ``client``: what an operator's program holds, of which ``observation`` is all that only looks;
  ``courier``: who it sends to whoever can do it.
- ``wire``: a conversation, as lines of JSON over a stream.
- ``address``: the socket's file, and who is at the other end.
- ``owner``: how the owner is asked; ``server``: what the owner serves.
- ``visit``: the same operations where nobody owns the file.
"""
