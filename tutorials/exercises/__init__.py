"""Exercises: what to write, how it is checked, and the command for it: `python -m tutorials.exercises`.

What is where:

    exercises.toml          the register: what there is, points, hints
    ch04_attention.py …     yours: the files to write into; bugs/ holds those to find a mistake in
    answers.toml            yours: predictions and measurements
    specs/                  what each function must do, as plain loops: slow, and right
    checks/                 what is asked of each function, one mechanism at a time
    judging.py              how answers are compared; mistakes.py: what an exception usually comes from
    subject.py, worker.py   your code runs in a process of its own
"""
