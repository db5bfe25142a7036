"""Frozen dataclasses become the command line, its --help, its presets and config.json.

A stage writes its settings once, as a dataclass, and gets everything else from it:

    @dataclass(frozen=True)
    class PretrainConfig(RunConfig):
        training: TrainingConfig = field(default_factory=TrainingConfig)   # nested: its fields become flags as well
        documents: int = option(2000, help="documents the toy world writes", low=2)

    config = parse(PretrainConfig, argv, description=__doc__, presets={"tiny": {"documents": 100}, "small": {}})

`options` says which types a setting may have and how they are written; a bool becomes --x and --no-x.
Precedence, lowest first: the dataclass default, the preset, the flag.
"""

import argparse
import dataclasses
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from minigpt.runs.errors import UserError, did_you_mean
from minigpt.runs.options import ValueType, check_option, flag_of, option, show, value_type

if TYPE_CHECKING:  # a command that only reads its options must not wait for torch
    import torch

    from minigpt.scale.precision import Model

Config = TypeVar("Config", bound="Settings")

PRESET_NAMES = ("tiny", "small", "medium")  # every stage has these, so that a run has one name through all stages
RENAMED = {"--held-out": "--validation-fraction"}  # flags that people may still type


# ---- Writing a config ----------------------------------------------------------------------------------------------


class Settings:
    """The base of every config: a frozen dataclass of options, whose values are checked when one is made."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.metadata:  # an option, and no nested config
                check_option(field, getattr(self, field.name))
        self.check_fields()

    def check_fields(self) -> None:
        """Checks between fields; a config that needs some overrides this. Raises UserError."""


@dataclass(frozen=True)
class RunConfig(Settings):
    """The settings of every command: the run that it belongs to, its seed, its device and its precision."""

    preset: str = option("small", help="the named set of defaults, and the folder under --runs that it works in")
    seed: int = option(0, help="every random choice is a function of this number", low=0, below=2**63)
    runs: str = option("runs", help="folder that holds all runs")
    device: str = option(
        "auto", help="auto is cuda where there is one, else cpu", choices=("auto", "cpu", "cuda", "mps")
    )
    precision: str = option(
        "auto",
        help="of matrix products; weights stay float32. auto is bfloat16 on a GPU that has it, else float32",
        choices=("auto", "float32", "bfloat16"),
    )

    @property
    def run_dir(self) -> Path:
        return Path(self.runs) / self.preset

    def stage_dir(self, stage: str) -> Path:
        return self.run_dir / stage

    def torch_device(self) -> "torch.device":
        """The device asked for. Raises UserError if this machine has none: falling back in silence costs hours."""
        import torch

        from minigpt.scale.distributed import local_device

        available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if self.device == "auto":
            return local_device(torch.device("cuda" if available["cuda"] else "cpu"))
        if not available[self.device]:
            raise UserError(f"--device {self.device}: torch finds no such device here, use --device cpu or auto")
        return local_device(torch.device(self.device))

    def place(self, model: "Model") -> "Model":
        """The model on this run's device, computing in its precision. Raises UserError if there is no such device."""
        from minigpt.scale.precision import compute_dtype, set_precision

        device = self.torch_device()
        return set_precision(model.to(device), compute_dtype(self.precision, device))


# ---- A config as a flat list of settings -------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One setting: a field that is not itself a config."""

    name: str
    group: str  # the dotted path of the nested configs it sits in, "" at the top
    type: ValueType
    value: Any
    help: str
    choices: tuple[Any, ...]

    @property
    def flag(self) -> str:
        return flag_of(self.name)


def settings_of(config: object, group: str = "") -> dict[str, Setting]:
    """Every setting by its name, those of nested configs included, in the order in which they are written.

    Raises ValueError if two settings would share one flag, or if nobody would check the limits of an option.
    """
    found: dict[str, Setting] = {}
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        if field.metadata and not isinstance(config, Settings):
            raise ValueError(f"{type(config).__name__} must inherit from Settings, which checks the limits of options")
        if dataclasses.is_dataclass(value):
            new = settings_of(value, f"{group}.{name}" if group else name)
        else:
            help, choices = field.metadata.get("help", ""), field.metadata.get("choices", ())
            new = {name: Setting(name, group, value_type(hints[name]), value, help, choices)}
        for twice in found.keys() & new.keys():
            raise ValueError(f"{type(config).__name__}: two fields are called {twice}: {flag_of(twice)} is ambiguous")
        found |= new
    return found


def with_overrides(config: Config, overrides: Mapping[str, object]) -> Config:
    """A copy with the named settings replaced, wherever they are nested: with_overrides(config, {"steps": 10}).

    Raises ValueError for an unknown name or a value of the wrong type, and UserError where the config's own checks do.
    """
    known, checked = settings_of(config), {}
    for name, value in overrides.items():
        if name not in known:
            raise ValueError(f"{type(config).__name__} has no setting {name!r}{did_you_mean(name, known)}")
        try:
            checked[name] = known[name].type.check(value)
        except ValueError as error:
            raise ValueError(f"{type(config).__name__}, setting {name!r}: {error}") from None
    return _replace(config, checked)


def _replace(config: Config, overrides: Mapping[str, object]) -> Config:
    # All at once: a check_fields() that compares fields must never see half of a preset.
    changes = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _replace(value, overrides)
        elif field.name in overrides:
            changes[field.name] = overrides[field.name]
    return dataclasses.replace(config, **changes)


# ---- The command line --------------------------------------------------------------------------------------------


def parse(
    cls: type[Config],
    argv: Sequence[str],
    *,
    description: str,
    presets: Mapping[str, Mapping[str, object]],
) -> Config:
    """The config that a command line asks for: the defaults of `cls`, then the preset, then the flags.

    `presets` maps a name to a flat dict {setting: value}; it may be empty, and then --preset only names the run.
    Raises UserError for whatever the user mistyped. --help prints the defaults of the chosen preset and exits with 0.
    """
    base = cls()
    if isinstance(base, RunConfig):  # a command that belongs to no run has no presets
        base = _apply_preset(base, argv, presets)
    settings = settings_of(base)
    parsed, unknown = _build_parser(base, description, presets).parse_known_args(list(argv))
    if unknown:
        _refuse(unknown[0], settings)
    overrides = {}
    for name, given in vars(parsed).items():  # only the flags that were typed: the parser's defaults are suppressed
        try:
            overrides[name] = given if isinstance(given, bool) else settings[name].type.read(given)
        except ValueError as error:
            raise UserError(f"{settings[name].flag}: {error}") from None
    return with_overrides(base, overrides)


class _Parser(argparse.ArgumentParser):
    """argparse, but what it would print and exit for becomes a UserError."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; run with --help to see every option")


def _apply_preset(base: Config, argv: Sequence[str], presets: Mapping[str, Mapping[str, object]]) -> Config:
    """The defaults of the preset that `argv` names. It is read before the other flags, as --help shows its defaults."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default=base.preset)
    preset = parser.parse_known_args(list(argv))[0].preset
    if presets and preset not in presets:
        raise UserError(f"--preset: {preset!r} is not one of {', '.join(presets)}{did_you_mean(preset, presets)}")
    try:
        return with_overrides(base, {"preset": preset, **presets.get(preset, {})})
    except UserError as error:  # our mistake and not the user's
        raise ValueError(f"preset {preset}: {error}") from error


def _build_parser(base: Settings, description: str, presets: Mapping[str, object]) -> _Parser:
    parser = _Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # so that vars() of the result holds only what was typed
        allow_abbrev=False,  # an abbreviation that works today is ambiguous once a flag is added
    )
    groups = {"": parser}
    for setting in settings_of(base).values():
        if not setting.help:
            raise ValueError(f"{type(base).__name__}.{setting.name} needs option(..., help=...): it is a flag")
        if setting.group not in groups:
            groups[setting.group] = parser.add_argument_group(setting.group)
        choices = tuple(presets) if setting.name == "preset" else setting.choices
        one_of = f"; one of {', '.join(map(str, choices))}" if choices else ""
        text = f"{setting.help}{one_of} [{show(setting.value)}]".replace("%", "%%")
        kind = {"action": argparse.BooleanOptionalAction} if setting.type.element is bool else {"metavar": "X"}
        groups[setting.group].add_argument(setting.flag, help=text, **kind)
    return parser


def _refuse(argument: str, settings: Mapping[str, Setting]) -> NoReturn:
    if not argument.startswith("-"):
        raise UserError(f"unexpected argument {argument!r}: every option starts with --, run with --help to see them")
    known = [setting.flag for setting in settings.values()]
    known += ["--no-" + setting.flag[2:] for setting in settings.values() if setting.type.element is bool]
    typed = "--" + argument.split("=")[0].lstrip("-").replace("_", "-")
    if RENAMED.get(typed) in known:
        raise UserError(f"{typed} has a new name: {RENAMED[typed]}")
    raise UserError(f"unknown option {argument}{did_you_mean(typed, known)}; run with --help to see every option")


# ---- JSON --------------------------------------------------------------------------------------------------------


def to_dict(config: object) -> dict[str, Any]:
    """The config as JSON has it: nested dicts, and lists for tuples."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type[Config], data: Mapping[str, object], source: str) -> Config:
    """The inverse of to_dict. Raises UserError naming `source` (a file) and the unknown, missing or wrong key."""
    if not isinstance(data, Mapping):
        raise UserError(f"{source}: expected the settings of {cls.__name__} as a JSON object, got {data!r}")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    for key in data:
        if key not in names:
            raise UserError(f"{source}: {cls.__name__} has no setting {key!r}{did_you_mean(str(key), names)}")
    values = {}
    for name in names:
        if name not in data:
            raise UserError(f"{source}: the setting {name!r} of {cls.__name__} is missing{did_you_mean(name, data)}")
        if dataclasses.is_dataclass(hints[name]):
            values[name] = from_dict(hints[name], data[name], f"{source}: {name}")
            continue
        try:
            values[name] = value_type(hints[name]).check(data[name])
        except ValueError as error:
            raise UserError(f"{source}: {name!r}: {error}") from None
    try:
        return cls(**values)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
