"""Hooks: the door by which agents' clients ask before each tool runs, every client in its own language."""
