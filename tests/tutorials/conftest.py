"""A made-up folder of chapters in which everything is right, for tests that then make one thing wrong."""

import json
import shutil

import pytest
import torch

from minigpt.runs.files import write_json, write_text
from tutorials.tools import figures
from tutorials.tools.page import Page
from tutorials.tools.update import without_running

PROVENANCE = {"commit": "abc", "torch": "2", "cpu": "a", "threads": 1, "seconds": 3, "command": "make", "seeds": [0]}

FIGURE_SCRIPT = """
import numpy as np
from tutorials.tools.figures import Drawing

def draw_line(figure, arrays, labels):
    axes = figure.subplots()
    axes.plot(arrays["x"], arrays["y"])
    axes.set_xlabel(labels["x"])

def line():
    x = np.arange(1, 6)
    return Drawing(arrays={"x": x, "y": x / 3}, labels={"x": "D"}, alt="a line that rises by one third", draw=draw_line)

FIGURES = {"ch04_line": line}
"""

EXERCISES = "\n".join(
    f"""[[exercise]]
id = "4.{number}"
chapter = "04"
title = "Number {number}"
type = "{kind}"
difficulty = 2
importance = 5
minutes = 25
points = 10
file = "tutorials/exercises/ch04.py"
"""
    for number, kind in ((1, "A"), (2, "D"))
)

PLANNED = """[[chapter]]
id = "05"
title = "Many heads"
builds = "heads"
read = 20
do = 40
needs = ["04"]
exercises = ["5.1"]
"""

CHAPTER = """\
<!-- chapter
id: 04
kind: concept
needs:
read: 35
do: 60
ci_seconds: 40
builds: a line
code: minigpt/attention.py
exercises: 4.1 4.2
-->
# Attention

<!-- header:start -->
<!-- header:end -->

## You will be able to

- draw a line (exercise 4.1);
- find a fault
  in it (exercise 4.2);
- say why (exercise 4.1).

## Predict first

What is one third?

<details>
<summary>The answer</summary>

It is $1/3$.

</details>

## The problem: FILLER

WORDS

## By hand

```python
thirds = [number / 3 for number in (1, 2)]
print("thirds", thirds)
```

```text out
thirds [0.333, 0.667]
```

## The maths

The sum of $`x_{1}`$ and $`x_{2}`$, with $x_1 = 1/3$:

```math
x_1 + x_2 = 1
```

```python
assert sum(thirds) == 1  # [B,T]
```

## The code

```python from="minigpt/attention.py:causal_mask" doc="no"
```

See [the code](../tutorials/exercises/ch04.py), [above](#by-hand) and [the map](README.md#chapters).

## Run it

```console
$ make all PRESET=tiny
$ python -m minigpt.pretrain --preset tiny
```

```text run="run:table"
```

## Look at it

![](figures/ch04_line.svg)

## What goes wrong

The accuracy is <!-- n run:deep.accuracy .2f -->0<!-- /n -->, not `$3`, which costs \\$3.

```text diagram
a --> b
```

```python .noeval reason="it takes an hour"
train()
```

## Check yourself

<details>
<summary>One?</summary>

Yes.

</details>
<details>
<summary>Two?</summary>

No.

</details>
<details>
<summary>Three?</summary>

No.

</details>

## Exercises

<!-- exercises:start -->
<!-- exercises:end -->

## Recap and real systems

A line.

## Further reading

- [A book](https://example.org/a_b), because.

<!-- footer:start -->
<!-- footer:end -->
""".replace("FILLER", "too little").replace("WORDS", "\n".join(["one word after another, and then the next"] * 190))

README = """# Chapters

<!-- map:start -->
<!-- map:end -->

<!-- graph:start -->
<!-- graph:end -->
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The folder as it is before a test; drawing its figure for every test would take most of their time."""
    folder = tmp_path_factory.mktemp("built") / "tutorials"
    write_text(folder / "figures" / "make" / "ch04.py", FIGURE_SCRIPT)
    write_text(folder / "exercises" / "exercises.toml", EXERCISES)
    write_text(folder / "exercises" / "ch04.py", "")
    write_text(folder / "planned.toml", PLANNED)
    write_json(
        folder / "numbers" / "run.json",
        {"provenance": PROVENANCE, "code": [], "table": "a  0.5\nb  0.25\n", "deep": {"accuracy": 0.8113}},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_commit", lambda: "0123abc")  # the tests need no git
        for name, make in figures.makers(folder / "figures" / "make" / "ch04.py").items():
            figures.draw(name, figures.compute(make), folder / "figures")
    for name, text in {"04-attention.md": CHAPTER, "README.md": README}.items():
        write_text(folder / name, text)
    for name in ("04-attention.md", "README.md"):
        write_text(folder / name, without_running(Page.read(folder / name), folder))
    return folder


@pytest.fixture
def folder(built, tmp_path):
    """tutorials/ with one chapter, its figure, numbers and exercises, all up to date."""
    return shutil.copytree(built, tmp_path / "tutorials")


@pytest.fixture(autouse=True)
def as_torch_was():
    """Chapters run with one thread and deterministic algorithms; other tests need not."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def chapter(folder):
    """The chapter's path."""
    return folder / "04-attention.md"


@pytest.fixture
def change(folder):
    """change(name, old, new) replaces a text that must be there exactly once in a file of the folder."""

    def replace(name, old, new):
        text = (folder / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        write_text(folder / name, text.replace(old, new))
        return folder / name

    return replace


@pytest.fixture
def numbers_file(folder):
    """Writes numbers/<name>.json."""
    return lambda name, data: (folder / "numbers" / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
