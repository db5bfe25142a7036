"""A command that takes the flags of a stage and pretends to have trained it: `python -m tests.rlhf.web.pretend_stage`.

Says what it was given in <run>/<part>/called.json. With a file `fail` in the folder of the class it fails like a
command of ours; with a file `wait` it waits until that is gone.
"""

import json
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    given = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    folder = Path(given["--runs"])
    while (folder / "wait").exists():
        time.sleep(0.05)
    if (folder / "fail").exists():
        print("a warning\nerror: the answers are all equal: sample more", file=sys.stderr)
        sys.exit(2)
    stage_dir = folder / given["--preset"] / ("reward_model" if "--rankings" in given else "ppo")
    stage_dir.mkdir(parents=True, exist_ok=True)
    (stage_dir / "called.json").write_text(json.dumps(given))
    (stage_dir / "metrics.jsonl").write_text('{"step": 0, "loss": 1.0}\n{"step": 1, "loss": 0.5}\n{"ste')
    (stage_dir / "checkpoint.pt").write_text(str(time.time_ns()))
