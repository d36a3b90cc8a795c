"""Trio actors and their supervision; knows nothing of storage or workflows."""
