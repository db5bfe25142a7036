"""The command line, its help, its presets and its JSON all come from one dataclass."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from minigpt.runs.config import RunConfig, Settings, from_dict, option, parse, to_dict, with_overrides
from minigpt.runs.errors import UserError


@dataclass(frozen=True)
class Optimizer(Settings):
    learning_rate: float = option(1e-3, help="peak learning rate")
    betas: tuple[float, float] = option((0.9, 0.95), help="decay of the two moments")
    optimizer: str = option("muon", help="which one", choices=("muon", "adamw"))


@dataclass(frozen=True)
class Training(Settings):
    steps: int = option(100, help="how many; 100% of them count")
    optim: Optimizer = field(default_factory=Optimizer)
    gradient_clip: float | None = option(1.0, help="largest gradient norm")


@dataclass(frozen=True)
class Config(RunConfig):
    training: Training = field(default_factory=Training)
    tied: bool = option(True, help="share the embedding with the head")
    corpus: str | None = option(None, help="a text file")
    sizes: tuple[int, ...] = option((1, 2), help="some sizes")


PRESETS = {"tiny": {"steps": 3, "learning_rate": 0.5, "sizes": (7,)}, "small": {}}


def read(*argv: str) -> Config:
    return parse(Config, argv, description="Trains.", presets=PRESETS)


def complaint(*argv: str) -> str:
    with pytest.raises(UserError) as error:
        read(*argv)
    assert "\n" not in str(error.value), "an error is one line"
    return str(error.value)


# ---- The command line ----


def test_no_arguments_give_the_defaults():
    assert read() == Config()


def test_flags_reach_fields_at_every_depth_with_their_types():
    config = read(
        "--seed",
        "7",
        "--steps",
        "12",
        "--learning-rate",
        "2",
        "--betas",
        "0.5, 0.25",
        "--no-tied",
        "--corpus",
        "a b.txt",
        "--gradient-clip",
        "none",
        "--sizes",
        "4,5,6",
        "--optimizer=adamw",
    )
    optim = Optimizer(learning_rate=2.0, betas=(0.5, 0.25), optimizer="adamw")
    training = Training(steps=12, optim=optim, gradient_clip=None)
    assert config == Config(seed=7, training=training, tied=False, corpus="a b.txt", sizes=(4, 5, 6))
    assert isinstance(config.training.optim.learning_rate, float), "`2` given for a float must become 2.0"


def test_preset_overrides_defaults_and_flags_override_the_preset():
    config = read("--steps", "5", "--preset", "tiny")
    assert (config.preset, config.training.steps) == ("tiny", 5), "an explicit flag wins, wherever --preset stands"
    assert (config.training.optim.learning_rate, config.sizes) == (0.5, (7,)), "a preset reaches nested fields"


def test_an_explicit_flag_equal_to_the_dataclass_default_still_beats_the_preset():
    assert read("--preset", "tiny", "--steps", "100").training.steps == 100


def test_booleans_and_empty_tuples():
    assert read("--tied").tied is True
    assert read("--no-tied").tied is False
    assert read("--sizes", "").sizes == ()


def test_without_presets_the_preset_only_names_the_run():
    assert parse(Config, ["--preset", "mine"], description="", presets={}).run_dir == Path("runs") / "mine"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--learning-rat", "1"], "did you mean --learning-rate?"),
        (["--learning_rate", "1"], "did you mean --learning-rate?"),
        (["--no-tiedd"], "did you mean --no-tied?"),
        (["-steps", "1"], "did you mean --steps?"),
        (["--step", "1"], "unknown option --step "),  # an abbreviation is refused, not guessed
        (["--preset", "tinny"], "'tinny' is not one of tiny, small (did you mean tiny?)"),
        (["--optimizer", "adam"], "--optimizer: 'adam' is not one of muon, adamw (did you mean adamw?)"),
        (["--device", "gpu"], "'gpu' is not one of auto, cpu, cuda, mps"),
        (["--steps", "many"], "--steps: expected a whole number, got 'many'"),
        (["--steps", "1.5"], "--steps: expected a whole number, got '1.5'"),
        (["--learning-rate", "nan"], "--learning-rate: expected a number, got 'nan'"),
        (["--betas", "0.9"], "--betas: expected 2 numbers separated by commas, got '0.9'"),
        (["--sizes", "1,x"], "--sizes: expected whole numbers separated by commas, got '1,x'"),
        (["--gradient-clip", "off"], "--gradient-clip: expected a number"),
        (["--steps"], "--steps"),
        (["corpus.txt"], "unexpected argument 'corpus.txt'"),
    ],
)
def test_every_mistyped_argument_is_named_in_one_sentence(argv, expected):
    assert expected in complaint(*argv)


def test_a_flag_that_has_a_new_name_is_refused_with_it_where_there_is_one():
    @dataclass(frozen=True)
    class Renamed(RunConfig):
        validation_fraction: float = option(0.1, help="share")

    with pytest.raises(UserError) as error:
        parse(Renamed, ["--held-out", "0.2"], description="", presets={})
    assert str(error.value) == "--held-out has a new name: --validation-fraction"
    assert complaint("--held-out", "0.2").startswith("unknown option --held-out"), "this command never had it"


def test_help_lists_every_option_with_the_defaults_of_the_chosen_preset(capsys):
    with pytest.raises(SystemExit) as stop:
        read("--help", "--preset", "tiny")
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for flag in (
        "--preset",
        "--seed",
        "--runs",
        "--device",
        "--steps",
        "--learning-rate",
        "--betas",
        "--optimizer",
        "--gradient-clip",
        "--tied, --no-tied",
        "--corpus",
        "--sizes",
    ):
        assert flag in text
    assert "how many; 100% of them count [3]" in text, "the default shown must be the preset's"
    assert "decay of the two moments [0.9,0.95]" in text
    assert "which one; one of muon, adamw [muon]" in text
    assert "one of tiny, small [tiny]" in text
    assert "a text file [none]" in text
    assert "Trains." in text


def test_a_setting_that_may_be_none_says_so_when_it_is_wrong():
    assert "expected a number or none, got 'low'" in complaint("--gradient-clip", "low")
    with pytest.raises(UserError, match="expected a number or none, got 'low'"):
        from_dict(Config, changed("training", "gradient_clip", value="low"), "config.json")


# ---- Mistakes in our own code are not the user's ----


def test_two_settings_of_one_name_are_a_programming_error():
    @dataclass(frozen=True)
    class Twice(Settings):
        preset: str = option("small", help="p")
        steps: int = option(1, help="s")
        training: Training = field(default_factory=Training)

    with pytest.raises(ValueError, match="steps"):
        parse(Twice, [], description="", presets={})


@pytest.mark.parametrize("preset", [{"stepz": 3}, {"steps": "3"}, {"optimizer": "adam"}, {"steps": True}])
def test_a_wrong_preset_is_a_programming_error(preset):
    with pytest.raises(ValueError, match=next(iter(preset))):
        parse(Config, [], description="", presets={"small": preset})


def test_a_field_without_help_cannot_become_a_flag():
    @dataclass(frozen=True)
    class Silent(RunConfig):
        steps: int = 3

    with pytest.raises(ValueError, match="steps"):
        parse(Silent, [], description="", presets={})


def test_overrides_are_applied_at_once_so_that_checks_across_fields_never_see_half_of_them():
    @dataclass(frozen=True)
    class Ordered(Settings):
        low: int = option(0, help="l")
        high: int = option(1, help="h")

        def check_fields(self) -> None:
            if self.low >= self.high:
                raise UserError("low must be below high")

    assert with_overrides(Ordered(), {"low": 5, "high": 6}) == Ordered(5, 6)
    with pytest.raises(UserError):
        with_overrides(Ordered(), {"low": 5})


def test_configs_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().seed = 1


# ---- Limits ----


@dataclass(frozen=True)
class Limited(Settings):
    layers: int = option(4, help="low", low=1)
    rate: float = option(0.5, help="low and high", low=0, high=1)
    dropout: float = option(0.0, help="low and below", low=0, below=1)
    share: float | None = option(None, help="above and below", above=0, below=1)
    sizes: tuple[int, ...] = option((1, 2), help="each element", low=1, below=10)


@pytest.mark.parametrize(
    ("name", "good", "bad", "expected"),
    [
        ("layers", [1, 2], [0, -1], "--layers: expected 1 or more, got"),
        ("rate", [0, 0.0, 1], [-0.01, 1.01], "--rate: expected 0 or more and 1 or less, got"),
        ("dropout", [0.0, 0.99], [-1e-9, 1.0], "--dropout: expected 0 or more and below 1, got"),
        ("share", [None, 0.5], [0, 1], "--share: expected more than 0 and below 1, got"),
        ("sizes", [(), (1, 9)], [(3, 0), (10,)], "--sizes: expected 1 or more and below 10, got"),
    ],
)
def test_limits_hold_whichever_way_a_config_is_made(name, good, bad, expected):
    for value in good:
        assert getattr(Limited(**{name: value}), name) == value, "a limit that is allowed was refused"
    for value in bad:
        with pytest.raises(UserError, match=expected):
            Limited(**{name: value})
        with pytest.raises(UserError, match=f"config.json: {expected}"):
            from_dict(Limited, {**to_dict(Limited()), name: list(value) if name == "sizes" else value}, "config.json")
        with pytest.raises(UserError, match=expected):
            with_overrides(Limited(), {name: value})


def test_a_number_that_is_not_finite_is_outside_every_limit():
    for value in (float("nan"), float("inf")):
        with pytest.raises(UserError, match="--rate: expected 0 or more and 1 or less"):
            Limited(rate=value)
        with pytest.raises(UserError, match="'rate': expected a number, got"):
            from_dict(Limited, {**to_dict(Limited()), "rate": value}, "config.json")


def test_limits_hold_on_the_command_line_and_in_nested_configs():
    @dataclass(frozen=True)
    class Outer(Settings):
        inner: Limited = field(default_factory=Limited)

    with pytest.raises(UserError, match="--layers: expected 1 or more, got 0"):
        parse(Outer, ["--layers=0"], description="", presets={})
    assert parse(Outer, ["--layers=9", "--share=none"], description="", presets={}).inner.layers == 9


def test_checks_between_fields_come_after_the_limits():
    @dataclass(frozen=True)
    class Between(Limited):
        def check_fields(self) -> None:
            if self.layers % len(self.sizes):
                raise UserError("layers must be a multiple of the sizes")

    with pytest.raises(UserError, match="multiple"):
        Between(layers=3)
    with pytest.raises(UserError, match="--layers: expected 1 or more"):
        Between(layers=-1)


def test_a_config_whose_limits_nobody_would_check_is_a_programming_error():
    @dataclass(frozen=True)
    class Plain:
        steps: int = option(1, help="s", low=1)

    with pytest.raises(ValueError, match="Plain must inherit from Settings"):
        parse(Plain, [], description="", presets={})


# ---- JSON ----


def test_json_round_trip():
    config = read("--preset", "tiny", "--gradient-clip", "none", "--corpus", "x.txt")
    data = json.loads(json.dumps(to_dict(config)))
    assert data["training"]["optim"]["betas"] == [0.9, 0.95]
    assert from_dict(Config, data, "config.json") == config


def changed(*path: str, value: object = None, delete: bool = False) -> dict:
    data = to_dict(Config())
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    if delete:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (changed("tie", value=True), "no setting 'tie' (did you mean tied?)"),
        (changed("training", "optim", "bettas", value=[1]), "no setting 'bettas' (did you mean betas?)"),
        (changed("training", "steps", delete=True), "the setting 'steps' of Training is missing"),
        (changed("training", delete=True), "the setting 'training' of Config is missing"),
        (changed("training", value=3), "expected the settings of Training as a JSON object, got 3"),
        (changed("training", "steps", value="3"), "'steps': expected a whole number, got '3'"),
        (changed("training", "steps", value=True), "'steps': expected a whole number, got True"),
        (changed("training", "optim", "betas", value=[0.9]), "'betas': expected 2 numbers separated by commas, got [0"),
        (changed("training", "optim", "optimizer", value="sgd"), "optim: --optimizer: 'sgd' is not one of muon, adamw"),
        (changed("seed", value=None), "'seed': expected a whole number, got None"),
    ],
)
def test_a_wrong_json_config_is_named_with_its_file_and_key(data, expected):
    with pytest.raises(UserError) as error:
        from_dict(Config, data, "config.json")
    assert str(error.value).startswith("config.json: ")
    assert expected in str(error.value)


# ---- RunConfig ----


def test_run_folders():
    config = RunConfig(preset="tiny", runs="out")
    assert config.run_dir == Path("out") / "tiny"
    assert config.stage_dir("sft") == Path("out") / "tiny" / "sft"


def test_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert RunConfig(device="auto").torch_device() == torch.device("cpu")
    with pytest.raises(UserError, match="--device cuda"):
        RunConfig(device="cuda").torch_device()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert RunConfig(device="auto").torch_device() == torch.device("cuda")
    assert RunConfig(device="cpu").torch_device() == torch.device("cpu"), "an explicit choice is never overruled"
