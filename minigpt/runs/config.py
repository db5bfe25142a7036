"""Frozen dataclasses become the command line, its --help, its presets and config.json.

A stage writes its settings once, as a dataclass, and gets everything else from it:

    @dataclass(frozen=True)
    class PretrainConfig(RunConfig):
        training: TrainingConfig = field(default_factory=TrainingConfig)   # nested: its fields become flags as well
        documents: int = option(2000, help="documents the toy world writes", low=2)

    config = parse(PretrainConfig, argv, description=__doc__, presets={"tiny": {"documents": 100}, "small": {}})

A flag may be bool (--x / --no-x), int, float, str, a tuple of these (written 0.9,0.95), or any of them "| None"
(written none). Precedence, lowest first: the dataclass default, the preset, the flag.
"""

import argparse
import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from minigpt.runs.errors import UserError, did_you_mean

if TYPE_CHECKING:  # a command that only reads its options must not wait for torch
    import torch

    from minigpt.scale.precision import Model

Config = TypeVar("Config", bound="Settings")


# ---- Writing a config ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """The numbers that a setting may have: low <= x <= high, above < x < below; None is no limit on that side."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        # NaN fails every one of these comparisons
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """As in "0 or more and below 1"."""
        words = {"{} or more": self.low, "more than {}": self.above, "{} or less": self.high, "below {}": self.below}
        return " and ".join(text.format(limit) for text, limit in words.items() if limit is not None)


def option(
    default: object,
    help: str,
    *,
    choices: Sequence[object] = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A dataclass field that is also a flag: its default, one line of help, and the values that it may have.

    A number may be low or more, high or less, more than `above` and less than `below`; of a tuple, each element.
    """
    metadata = {"help": help, "choices": tuple(choices), "limits": Limits(low, high, above, below)}
    return dataclasses.field(default=default, metadata=metadata)


class Settings:
    """The base of every config: a frozen dataclass of options, whose values are checked when one is made."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for element in value if isinstance(value, tuple) else (value,):
                _check_option(field, element)
        self.check_fields()

    def check_fields(self) -> None:
        """Checks between fields; a config that needs some overrides this. Raises UserError."""


@dataclass(frozen=True)
class RunConfig(Settings):
    """What every command has: which run it belongs to, its seed, and where it computes."""

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


def _check_option(field: dataclasses.Field[Any], value: object) -> None:
    """Raises UserError, naming the flag, for a value that is no choice of this field or outside its limits."""
    choices, limits = field.metadata.get("choices", ()), field.metadata.get("limits", Limits())
    if value is None or isinstance(value, Settings):
        return
    if choices and value not in choices:
        names = [str(choice) for choice in choices]
        hint = did_you_mean(str(value), names)
        raise UserError(f"{flag_of(field.name)}: {value!r} is not one of {', '.join(names)}{hint}")
    if limits != Limits() and value not in limits:
        raise UserError(f"{flag_of(field.name)}: expected {limits}, got {value}")


# ---- A config as a tree of settings ------------------------------------------------------------------------------


def flag_of(name: str) -> str:
    """The flag of a setting: "learning_rate" -> "--learning-rate"."""
    return "--" + name.replace("_", "-")


@dataclass(frozen=True)
class Setting:
    """One setting: a field that is not itself a config."""

    name: str
    group: str  # the dotted path of the nested configs it sits in, "" at the top
    hint: Any  # its type annotation
    value: Any
    help: str
    choices: tuple[Any, ...]

    @property
    def flag(self) -> str:
        return flag_of(self.name)


def settings_of(config: Settings, group: str = "") -> Iterator[Setting]:
    """Every setting of a config, nested ones included, in the order they were written."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.metadata and not isinstance(config, Settings):
            raise ValueError(f"{type(config).__name__} must inherit from Settings, which checks the limits of options")
        if dataclasses.is_dataclass(value):
            yield from settings_of(value, f"{group}.{field.name}" if group else field.name)
        else:
            help, choices = field.metadata.get("help", ""), field.metadata.get("choices", ())
            yield Setting(field.name, group, hints[field.name], value, help, choices)


def settings_by_name(config: Settings) -> dict[str, Setting]:
    """The flat view that flags and presets use. Raises ValueError if two settings would share one flag."""
    flat: dict[str, Setting] = {}
    for setting in settings_of(config):
        if setting.name in flat:
            raise ValueError(
                f"{type(config).__name__}: two fields are called {setting.name}: {setting.flag} is ambiguous"
            )
        flat[setting.name] = setting
    return flat


def with_overrides(config: Config, overrides: Mapping[str, object]) -> Config:
    """A copy with the named settings replaced, wherever they are nested: with_overrides(config, {"steps": 10}).

    Raises ValueError for an unknown name or a value of the wrong type, and UserError where the config's own checks do.
    """
    known = settings_by_name(config)
    for name, value in overrides.items():
        if name not in known:
            raise ValueError(f"{type(config).__name__} has no setting {name!r}{did_you_mean(name, known)}")
        try:
            check_value(value, known[name].hint)
        except ValueError as error:
            raise ValueError(f"{type(config).__name__}, setting {name!r}: {error}") from None
    return _replace(config, overrides)


def _replace(config: Config, overrides: Mapping[str, object]) -> Config:
    # All at once: a check_fields() that compares fields must never see half of a preset.
    hints = typing.get_type_hints(type(config))
    changes = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _replace(value, overrides)
        elif field.name in overrides:
            changes[field.name] = check_value(overrides[field.name], hints[field.name])
    return dataclasses.replace(config, **changes)


# ---- Values: from text, from JSON, in words ----------------------------------------------------------------------


def _optional(hint: Any) -> Any | None:
    """The X of `X | None`; None if the hint is not of that form."""
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return None
    members = [member for member in typing.get_args(hint) if member is not types.NoneType]
    if len(members) != 1 or len(typing.get_args(hint)) != 2:
        raise ValueError(f"a config field may be `X | None`, but not {hint}")
    return members[0]


def _tuple_hints(hint: Any, length: int) -> list[Any] | None:
    """The type of each element of a tuple with `length` elements; None if such a tuple cannot have that length."""
    members = typing.get_args(hint)
    if members[-1] is Ellipsis:
        return [members[0]] * length
    return list(members) if len(members) == length else None


def describe(hint: Any) -> str:
    """The type of a setting, in the words of an error message and of --help."""
    inner = _optional(hint)
    if inner is not None:
        return f"{describe(inner)} or none"
    if typing.get_origin(hint) is tuple:
        members = typing.get_args(hint)
        if members[-1] is Ellipsis:
            return f"{describe(members[0])}, several separated by commas"
        return f"{len(members)} values separated by commas, each {describe(members[0])}"
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[hint]


def parse_text(text: str, hint: Any) -> Any:
    """The value a flag's text stands for. Raises ValueError, saying what was expected."""
    wrong = ValueError(f"expected {describe(hint)}, got {text!r}")
    inner = _optional(hint)
    if inner is not None and text.lower() == "none":
        return None
    hint = inner or hint
    if typing.get_origin(hint) is tuple:
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        hints = _tuple_hints(hint, len(parts))
        if hints is None:
            raise wrong
        return tuple(parse_text(part, member) for part, member in zip(parts, hints, strict=True))
    try:
        value = hint(text)
    except ValueError:
        raise wrong from None
    if hint is float and not math.isfinite(value):
        raise wrong  # "nan" and "inf" are numbers to Python, but no setting here means anything with them
    return value


def check_value(value: object, hint: Any) -> Any:
    """A value from JSON or a preset, as the type its field declares. Raises ValueError, saying what was expected."""
    wrong = ValueError(f"expected {describe(hint)}, got {value!r}")
    inner = _optional(hint)
    if inner is not None and value is None:
        return None
    hint = inner or hint
    if typing.get_origin(hint) is tuple:
        hints = _tuple_hints(hint, len(value)) if isinstance(value, (list, tuple)) else None
        if hints is None:
            raise wrong
        return tuple(check_value(part, member) for part, member in zip(value, hints, strict=True))
    accepted = (int, float) if hint is float else hint
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise wrong  # bool is a subclass of int in Python, but `true` is no learning rate
    return hint(value)


def show(value: object) -> str:
    """A value as one would type it after its flag."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(show(part) for part in value) or "(empty)"
    return "none" if value is None else str(value) or "(empty)"


# ---- The command line --------------------------------------------------------------------------------------------


def parse(
    cls: type[Config],
    argv: Sequence[str],
    *,
    description: str,
    presets: Mapping[str, Mapping[str, object]],
) -> Config:
    """Read a command line into a config: the defaults of `cls`, then the preset, then the flags.

    `presets` maps a name to a flat dict {setting: value}; it may be empty, and then --preset only names the run.
    Raises UserError for whatever the user mistyped. --help prints the defaults of the chosen preset and exits with 0.
    """
    base = cls()
    if isinstance(base, RunConfig):  # a command that belongs to no run has no presets
        preset = _chosen_preset(base, argv, presets)
        try:
            base = with_overrides(base, {"preset": preset, **presets.get(preset, {})})
        except UserError as error:  # a mistake in our preset, not the user's
            raise ValueError(f"preset {preset}: {error}") from error
    flags = settings_by_name(base)
    parser = _build_parser(base, description, presets)
    parsed, unknown = parser.parse_known_args(list(argv))
    if unknown:
        _refuse(unknown[0], flags)
    overrides = {}
    for name, given in vars(parsed).items():  # only the flags that were typed: the parser's defaults are suppressed
        setting = flags[name]
        try:
            value = given if isinstance(given, bool) else parse_text(given, setting.hint)
            overrides[name] = check_value(value, setting.hint)
        except ValueError as error:
            raise UserError(f"{setting.flag}: {error}") from None
    return with_overrides(base, overrides)


class _Parser(argparse.ArgumentParser):
    """argparse, but what it would print and exit for becomes a UserError."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; run with --help to see every option")


def _chosen_preset(base: object, argv: Sequence[str], presets: Mapping[str, object]) -> str:
    # Read before everything else, because --help shows the defaults of the preset that was chosen.
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", default=base.preset)
    chosen = parser.parse_known_args(list(argv))[0].preset
    if presets and chosen not in presets:
        raise UserError(f"--preset: {chosen!r} is not one of {', '.join(presets)}{did_you_mean(chosen, presets)}")
    return chosen


def _build_parser(base: object, description: str, presets: Mapping[str, object]) -> argparse.ArgumentParser:
    parser = _Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # so that vars() of the result holds only what was typed
        allow_abbrev=False,  # an abbreviation that works today is ambiguous once a flag is added
    )
    groups = {"": parser}
    for setting in settings_of(base):
        if not setting.help:
            raise ValueError(f"{type(base).__name__}.{setting.name} needs option(..., help=...): it is a flag")
        if setting.group not in groups:
            groups[setting.group] = parser.add_argument_group(setting.group)
        choices = tuple(presets) if setting.name == "preset" else setting.choices
        one_of = f"; one of {', '.join(map(str, choices))}" if choices else ""
        text = f"{setting.help}{one_of} [{show(setting.value)}]".replace("%", "%%")
        if setting.hint is bool:
            groups[setting.group].add_argument(setting.flag, action=argparse.BooleanOptionalAction, help=text)
        else:
            groups[setting.group].add_argument(setting.flag, metavar="X", help=text)
    return parser


def _refuse(argument: str, flags: Mapping[str, Setting]) -> NoReturn:
    if not argument.startswith("-"):
        raise UserError(f"unexpected argument {argument!r}: every option starts with --, run with --help to see them")
    known = [setting.flag for setting in flags.values()]
    known += ["--no-" + setting.flag[2:] for setting in flags.values() if setting.hint is bool]
    typed = "--" + argument.split("=")[0].lstrip("-").replace("_", "-")
    raise UserError(f"unknown option {argument}{did_you_mean(typed, known)}; run with --help to see every option")


# ---- JSON --------------------------------------------------------------------------------------------------------


def to_dict(config: object) -> dict[str, Any]:
    """The config as nested dicts that json.dump can write; tuples become lists, as JSON has no others."""
    result: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            value = to_dict(value)
        result[field.name] = list(value) if isinstance(value, tuple) else value
    return result


def from_dict(cls: type[Config], data: Mapping[str, object], source: str) -> Config:
    """The inverse of to_dict. Raises UserError naming `source` (a file) and the unknown, missing or wrong key."""
    if not isinstance(data, Mapping):
        raise UserError(f"{source}: expected the settings of {cls.__name__} as a JSON object, got {data!r}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in data:
        if key not in fields:
            raise UserError(f"{source}: {cls.__name__} has no setting {key!r}{did_you_mean(str(key), fields)}")
    values = {}
    for name in fields:
        if name not in data:
            raise UserError(f"{source}: the setting {name!r} of {cls.__name__} is missing{did_you_mean(name, data)}")
        if dataclasses.is_dataclass(hints[name]):
            values[name] = from_dict(hints[name], data[name], f"{source}: {name}")
            continue
        try:
            values[name] = check_value(data[name], hints[name])
        except ValueError as error:
            raise UserError(f"{source}: {name!r}: {error}") from None
    try:
        return cls(**values)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
