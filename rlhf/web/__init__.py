"""The classroom: chat with the stages, compare them, label answers and look inside, in a browser, for many at once.

    python -m rlhf.web --preset tiny                  # for one person, on this machine
    python -m rlhf.web --preset tiny --classroom      # for the room, with a join code and a teacher's code

A side room: nothing else imports it. Reading order:

    config       the settings                    app          pages and middleware put together
    sessions     who is asking (signed cookie)   security     what each request must satisfy
    inputs       what a browser sent, checked    rendering    templates to pages
    stages       which trained runs there are    pages/       one file for each page; each has a list `routes`

    prepare      the command that makes what a class ranks
    store/       what people typed (SQLite)      labels/      who ranks what; agreement; from labels to a model
    engine/      the models, loaded once         asking       questions to it          blind   comparisons

`pages/` may import everything here but `prepare`. `store/` imports nothing else of `rlhf`; `labels/` imports `store/`,
`config`, `stages` and `rlhf.records`; `engine/` imports `stages`, and nothing that knows people. Only `prepare`, a
command that the server runs as another process, reaches the gold labeler: the server shows gold totals that it has
stored, and computes none (tests/test_imports.py).
"""
