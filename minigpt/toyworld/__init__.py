"""The toy world: true facts, the documents written from them, and what people ask about them.

Read `facts` first, then `requests` (questions and tasks with their good and bad answers), `stories`, `documents`.
Imports nothing else of minigpt but the command line. `python -m minigpt.toyworld` prints documents.
"""

from minigpt.toyworld.documents import documents

__all__ = ["documents"]
