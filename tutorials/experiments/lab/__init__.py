"""The laboratory of the experiments. A page needs what stands here; python -m tutorials.experiments runs it.

What is where, in reading order:

    experiment.py   what an experiment is, and how pages are found
    models.py       trained models, made once by the real stages and shared
    measures.py     what most experiments measure, and how sure a mean is
    cells.py        one unit of work in a process of its own, and its result as a file
    runner.py       all units of work, several at a time; what is there already is not measured again
    results.py      results/<name>.json and the figure
    table.py        the table of claims in README.md
"""

from tutorials.experiments.lab.experiment import Experiment, Summary
from tutorials.experiments.lab.measures import MAX_NEW_TOKENS, Asked, ask, bootstrap_mean, spread
from tutorials.experiments.lab.models import Lab, Trained

__all__ = ["MAX_NEW_TOKENS", "Asked", "Experiment", "Lab", "Summary", "Trained", "ask", "bootstrap_mean", "spread"]
