"""What the pages of the experiments share: models, measures, cells, figures. python -m tutorials.experiments runs them.

What is where, in reading order:

    experiment.py   what an experiment is, and how pages are found
    models.py       trained models, made once by the real stages and shared
    measures.py     what most experiments measure, and how sure a mean is
    drawing.py      seeds and their intervals in a figure
    cells.py        one unit of work in a process of its own, and its result as a file
    runner.py       all units of work, several at a time; what is there already is not measured again
    results.py      results/<name>.json and the figure
    table.py        the table of claims in README.md

And what one or two pages need:

    pool.py             the best of n answers, for every n, from one pool
    laws.py             the laws of over-optimisation, fitted (overoptimization)
    frontier.py         gold over KL and over answers drawn (ppo_or_best_of_k)
    again.py            stages 2 and 3 once more, from any policy (rounds)
    pair_order.py       how many pairs a reward model puts in the gold order (rounds)
    preferences.py      every model against every other (stages)
    reward_learning.py  reward models on chosen rankings (k_choose_2, direct_or_rank)
    marks.py            annotators who give marks (direct_or_rank)
    language.py         text, training and losses of small language models (language_models, positions)
    classroom.py        a class of simulated annotators that asks a real server (classroom)
"""

from tutorials.experiments.lab.experiment import Experiment, Summary
from tutorials.experiments.lab.measures import MAX_NEW_TOKENS, Asked, ask, bootstrap_mean, spread
from tutorials.experiments.lab.models import TEMPERATURE, Lab, Trained

__all__ = [
    "MAX_NEW_TOKENS",
    "TEMPERATURE",
    "Asked",
    "Experiment",
    "Lab",
    "Summary",
    "Trained",
    "ask",
    "bootstrap_mean",
    "spread",
]
