"""The settings of the classroom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minigpt.runs.config import RunConfig, option

LOCAL = "127.0.0.1"
EVERYWHERE = "0.0.0.0"


@dataclass(frozen=True)
class ItemsConfig(RunConfig):
    """The prompts that are prepared for ranking."""

    prompts: int = option(60, "prompts with answers that are prepared for ranking", low=2)
    answers: int = option(4, "answers to each of them; equal ones are merged", low=2, high=9)
    known_share: float = option(0.1, "as many pairs whose better answer is known, as a share of them", low=0, high=0.5)
    max_new_tokens: int = option(48, "an answer is cut after this many tokens", low=1, high=512)

    @property
    def class_dir(self) -> Path:
        """The folder of the class: what people typed, and the run trained on it."""
        return Path(self.runs) / f"{self.preset}-class"

    @property
    def database(self) -> Path:
        return self.class_dir / "classroom.sqlite"


@dataclass(frozen=True)
class WebConfig(ItemsConfig):
    """Settings of the server: its address, who may come in, and the limits for each person."""

    port: int = option(8000, "port to listen on", low=1, high=65535)
    classroom: bool = option(False, "open the server to the room: names, a join code and a teacher's code")
    address: str | None = option(None, "address to listen on; none is 127.0.0.1, and 0.0.0.0 with --classroom")
    host_names: tuple[str, ...] = option((), "names under which browsers reach this machine, besides its own")
    join_code: str | None = option(None, "what a student types to come in; none draws one and prints it")
    teacher_code: str | None = option(None, "what the teacher types; none draws one and prints it")
    overlap: int = option(2, "people who rank each prompt", low=1)
    per_person: int = option(10, "prompts that each person is asked to rank; whoever likes ranks more", low=1)
    requests_per_second: float = option(20.0, "requests a person may make, on average", above=0)

    @property
    def listen_on(self) -> str:
        return self.address or (EVERYWHERE if self.classroom else LOCAL)
