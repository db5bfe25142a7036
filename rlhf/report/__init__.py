"""The results of a run as pages: the report, and the measured parts of README.md.

`tables` are what the pages have in common and `goals` the figures that a run must reach; `page` is the report of one
run, `readme` the measured parts of README.md. Imports what `evaluation` has written and how it is read; nothing that
learns, and nothing that measures, imports it.
"""
