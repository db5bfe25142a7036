"""The classroom: chat with the stages, compare them, label answers and look inside, in a browser, for many at once.

    python -m rlhf.web --preset tiny                  # for one person, on this machine
    python -m rlhf.web --preset tiny --classroom      # for the room, with a join code and a teacher's code

A side room: nothing else imports it. Reading order:

    config       the settings                    app          pages and middleware put together
    sessions     who is asking (signed cookie)   security     what each request must satisfy
    rendering    templates to pages              stages       which trained runs there are
    store/       what people typed (SQLite)      labels/      who ranks what; agreement; from labels to a model
    engine/      the models, loaded once         pages/       one file for each page; each has a list `routes`

`pages/` may import everything here. `store/` imports nothing of `rlhf`, `labels/` only `store/` and `rlhf.records`,
`engine/` neither of them. The gold labeler is reached by way of `rlhf.evaluation` only.
"""
