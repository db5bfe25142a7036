"""Chapters to read, exercises to do, and the tools that keep both true. The chapters are Markdown: start at README.md."""
