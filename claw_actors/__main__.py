"""``python -m claw_actors`` is the command line ``claw``."""

from .cli import main

main()
