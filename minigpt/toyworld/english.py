"""A little English: articles, plurals, capitals, lists. Just enough that generated text reads naturally."""

from __future__ import annotations

import functools
import string
from collections.abc import Sequence

IRREGULAR_PLURALS = {
    "wolf": "wolves", "calf": "calves", "mouse": "mice", "goose": "geese", "sheep": "sheep", "deer": "deer",
    "fish": "fish", "goldfish": "goldfish", "salmon": "salmon", "trout": "trout",
    "tuna": "tuna", "cod": "cod", "person": "people",
    "child": "children", "leaf": "leaves", "knife": "knives", "fisherman": "fishermen", "snowman": "snowmen",
    "elf": "elves", "werewolf": "werewolves", "fairy": "fairies",
    "butterfly": "butterflies", "dragonfly": "dragonflies", "cherry": "cherries", "strawberry": "strawberries",
    "blueberry": "blueberries", "raspberry": "raspberries", "lily": "lilies", "daisy": "daisies", "canary": "canaries",
    "octopus": "octopuses", "hippopotamus": "hippopotamuses", "trousers": "trousers", "scissors": "scissors",
    "potato": "potatoes", "tomato": "tomatoes", "mosquito": "mosquitoes", "donkey": "donkeys", "monkey": "monkeys",
    "ruby": "rubies", "spinach": "spinach", "corn": "corn", "lettuce": "lettuce", "ox": "oxen",
}  # fmt: skip

NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def a(noun: str) -> str:
    """ "owl" -> "an owl", by the first letter; "unicorn" starts with the sound of "you"."""
    starts_with_vowel_sound = noun[0] in "aeiou" and not noun.startswith("uni")
    return f"{'an' if starts_with_vowel_sound else 'a'} {noun}"


def plural(noun: str) -> str:
    """ "fox" -> "foxes", "mouse" -> "mice"; of several words the last one changes."""
    first_words, _, last = noun.rpartition(" ")
    if last in IRREGULAR_PLURALS:
        last = IRREGULAR_PLURALS[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    else:
        last += "s"
    return f"{first_words} {last}".strip()


def sentence_case(text: str) -> str:
    """The first letter as a capital, the rest untouched."""
    return text[:1].upper() + text[1:]


def join_and(items: Sequence[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    if len(items) == 1:
        return items[0]
    return ", ".join(items[:-1]) + " and " + items[-1]


def fill(template: str, **words: str) -> str:
    """Fills `{slots}`; a slot whose name starts with a capital gets its word with a capital."""
    capitals = {name: sentence_case(words[name[:1].lower() + name[1:]]) for name in capital_slots(template)}
    return template.format(**words, **capitals)


@functools.cache
def capital_slots(template: str) -> tuple[str, ...]:
    """The names of a template's slots that start with a capital; kept, as few templates make all sentences."""
    names = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    return tuple(name for name in sorted(names) if name[:1].isupper())
