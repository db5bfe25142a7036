"""For teachers: stubs from masters, the proof that the checks are right, the hand-out, the grading of a class.

None of this is in the hand-out, and neither is tutorials/instructor/.

    stubs.py      python -m tutorials.grading.stubs      what students get, from the solutions
    prove.py      python -m tutorials.grading.prove      `make check-exercises`
    handout.py    python -m tutorials.grading.handout    `make handout OUT=…`
    grade.py      python -m tutorials.grading.grade      `make grade DIR=… SEED=…`
"""
