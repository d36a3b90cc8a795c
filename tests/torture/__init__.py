"""Real processes, real files, real SIGKILL: what must hold after each of them."""
