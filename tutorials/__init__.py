"""Chapters to read, exercises to do, and the tools that keep both true. Start at README.md."""
