"""A small world with known facts, and documents written about it. `python -m minigpt.toyworld` prints some."""

from minigpt.toyworld.documents import documents

__all__ = ["documents"]
