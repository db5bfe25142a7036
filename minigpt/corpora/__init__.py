"""Side room: a user's text and tokens, which may be larger than memory.

`text` reads files as documents, `division` chooses those held back for validation, `chunks` cuts long text where its
tokens stay the same, `token_file` keeps ids in a mapped file, `permutation` shuffles windows without drawing all of
their order, and `json_lines` reads JSON that people wrote. Imports nothing of minigpt but `runs`.
"""
