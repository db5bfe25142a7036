"""For teachers: solutions, wrong solutions with the check that must catch each, and how a person grades.

What is where:

    solutions/    masters; students' files are made from them (python -m tutorials.grading.stubs)
    wrong/        what students write on their way there
    rubric.md     the sentences in answers.toml, and the five minutes of talk
"""
