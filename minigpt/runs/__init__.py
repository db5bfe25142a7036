"""A run on disk and its command line.

`config` turns a dataclass into flags, `errors` a mistake into one sentence. `folder` is the folder of one stage: it
starts and resumes (`resume`), saves whole checkpoints (`checkpoint`), logs rows (`metrics`), draws them (`curves`)
and shows how far it is (`progress`). May import `scale.distributed` only: of several processes, one writes.
"""
