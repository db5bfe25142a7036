"""The tools that check and generate the chapters; README.md says how to write one. Read in this order:

fences.py       the kinds of blocks a chapter may have
page.py         a chapter as data: its meta comment, fences, sections and prose
printed.py      does a block print what the page says it prints?
excerpt.py      code found by its name, never by its line number
commands.py     would the commands of a `console` block run?
numbers.py      results of longer runs, quoted with their provenance
figures.py      figures whose arrays are computed again
evaluators.py   these checks as evaluators of Sybil, which collects the fences for pytest
tables.py       navigation, the map and the tables of exercises
update.py       writes what is generated into the pages
anatomy.py      rules about a chapter as a whole
markdown.py     rules about what a code host would break
lint.py         all rules: what can be said without running a block
check.py        lint, then each chapter in a process of its own
notebooks.py    the chapters as Jupyter notebooks
"""
