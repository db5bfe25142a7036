"""A run on disk and its command line.

`config` turns a dataclass of `options` into flags, `errors` a mistake into one sentence. `folder` is the folder of one
stage: it starts and resumes (`resume`), saves whole checkpoints (`checkpoint`), waits with Ctrl-C (`interrupt`) and
keeps the log (`log/`). `made_from` says what is out of date, `seeds` gives each use of random numbers its own, `files`
reads and writes. May import `scale.distributed` only: of several processes, one writes.
"""
