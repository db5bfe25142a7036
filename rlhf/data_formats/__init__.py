"""Side room: other people's files, read and written.

`formats` recognises a record and reads it; `sources`, `messages` and `hh` are its parts. `preferences` writes pairs for
TRL, `export` the reward model for Hugging Face's transformers.
"""
