"""The facts of the small world: true of the real one, so that a student can check them and a grader need not guess.

A `Relation` is a table from subjects to objects with the ways English states it and asks for it. In a template
`{s}` is the bare subject, `{a}` the subject with its article, `{p}` its plural, `{o}` the object, `{ao}` the object
with its article; a capital letter in the slot's name puts a capital there (`{A}` is "A cow"). Each subject has one
object in a relation, and all objects of a relation are candidates for a wrong answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from minigpt.toyworld.english import a, fill, plural

# How often the documents state a fact, in percent of all facts: the rest is "common". A model cannot know what it never
# read, and knows badly what it read seldom, so there is something not to know.
FREQUENCIES = {"never": 8, "rare": 14}
RARELY = 0.12  # the share of its occasions on which a rare fact is written down


def table(text: str) -> dict[str, str]:
    """ "cow: grass; owl: mice" as a dictionary."""
    rows = (row.split(":") for row in text.split(";") if row.strip())
    # split and join: a row may go on in the next line, whose indentation is no part of it
    return {" ".join(subject.split()): " ".join(found.split()) for subject, found in rows}


@dataclass(frozen=True)
class Relation:
    """One kind of fact: its table, how it is stated, how it is asked for, and asked for again with a pronoun."""

    name: str
    objects: dict[str, str]
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    follow_up: str

    def state(self, subject: str, found: str | None = None) -> tuple[str, ...]:
        """Every way to say what the subject's object is; `found` replaces the true object."""
        found = found or self.objects[subject]
        words = {"s": subject, "a": a(subject), "p": plural(subject), "o": found, "ao": a(found)}
        return tuple(fill(template, **words) for template in self.statements)

    def ask(self, subject: str) -> tuple[str, ...]:
        """Every way to ask for the subject's object."""
        return tuple(fill(template, s=subject, a=a(subject), p=plural(subject)) for template in self.questions)

    def candidates(self) -> tuple[str, ...]:
        """All objects of the relation, the true one among them, in alphabetical order."""
        return tuple(sorted(set(self.objects.values())))


@dataclass(frozen=True)
class Fact:
    """One row of one relation."""

    relation: Relation
    subject: str

    @property
    def object(self) -> str:
        """The object that is true of the subject."""
        return self.relation.objects[self.subject]

    @property
    def frequency(self) -> str:
        """ "never", "rare" or "common": how often documents state it. A hash, so that no seed changes it."""
        name = f"frequency {self.relation.name}/{self.subject}"
        bucket = int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:4], "big") % 100
        if bucket < FREQUENCIES["never"]:
            return "never"
        return "rare" if bucket < FREQUENCIES["never"] + FREQUENCIES["rare"] else "common"


EATS = Relation(
    name="eats",
    objects=table("""
        cow: grass; horse: hay; sheep: grass; zebra: grass; kangaroo: grass; hippopotamus: grass; monkey: fruit;
        bat: insects; frog: insects; spider: insects; swallow: insects; hedgehog: insects; panda: bamboo; koala:
        leaves; giraffe: leaves; elephant: leaves; deer: leaves; caterpillar: leaves; gorilla: leaves; penguin:
        fish; seal: fish; dolphin: fish; otter: fish; pelican: fish; shark: fish; heron: fish; bee: nectar;
        butterfly: nectar; hummingbird: nectar; lion: meat; tiger: meat; wolf: meat; crocodile: meat; leopard: meat;
        dog: meat; owl: mice; snake: mice; cat: mice; squirrel: nuts; sparrow: seeds; canary: seeds; hen: seeds;
        anteater: ants; termite: wood; mole: worms; robin: worms; rabbit: grass; silkworm: leaves"""),
    statements=("{A} eats {o}.", "{P} eat {o}.", "The {s} is an animal that eats {o}."),
    questions=("What does {a} eat?", "What do {p} eat?", "Which food does {a} eat?"),
    follow_up="And what does it eat?",
)
LIVES = Relation(
    name="lives",
    objects=table("""
        cow: on a farm; sheep: on a farm; hen: on a farm; pig: on a farm; camel: in the desert; scorpion: in the
        desert; whale: in the sea; dolphin: in the sea; shark: in the sea; octopus: in the sea; crab: in the sea;
        frog: in a pond; goldfish: in a pond; lion: in the savanna; zebra: in the savanna; giraffe: in the savanna;
        monkey: in the jungle; gorilla: in the jungle; parrot: in the jungle; tiger: in the jungle; squirrel: in the
        forest; wolf: in the forest; deer: in the forest; owl: in the forest; penguin: in the Antarctic; walrus: in
        the Arctic; kangaroo: in Australia; koala: in Australia; panda: in China; bee: in a hive; ant: in an
        anthill; beaver: in a lodge; mole: in a tunnel; rabbit: in a burrow; horse: in a stable; bat: in a cave;
        trout: in a river; crocodile: in a river; swallow: in a nest; sparrow: in a nest"""),
    statements=("{A} lives {o}.", "{P} live {o}.", "The home of {a} is {o}."),
    questions=("Where does {a} live?", "Where do {p} live?", "Where is the home of {a}?"),
    follow_up="And where does it live?",
)
YOUNG = Relation(
    name="young",
    objects=table("""
        cow: calf; dog: puppy; cat: kitten; sheep: lamb; horse: foal; pig: piglet; goat: kid; hen: chick; duck:
        duckling; goose: gosling; bear: cub; lion: cub; tiger: cub; wolf: pup; seal: pup; bat: pup; deer: fawn;
        kangaroo: joey; koala: joey; frog: tadpole; owl: owlet; swan: cygnet; elephant: calf; whale: calf; giraffe:
        calf; eagle: eaglet; butterfly: caterpillar; zebra: foal; donkey: foal; penguin: chick"""),
    statements=("A young {s} is called {ao}.", "The young of {a} is called {ao}.", "A baby {s} is {ao}."),
    questions=(
        "What is a young {s} called?",
        "What is the name for a baby {s}?",
        "What do people call the young of {a}?",
    ),
    follow_up="And what is its young called?",
)
SOUND = Relation(
    name="sound",
    objects=table("""
        dog: barks; cat: meows; cow: moos; sheep: bleats; goat: bleats; horse: neighs; pig: grunts; duck: quacks;
        goose: honks; lion: roars; tiger: roars; wolf: howls; bee: buzzes; mosquito: buzzes; snake: hisses; frog:
        croaks; owl: hoots; hen: clucks; elephant: trumpets; mouse: squeaks; donkey: brays; crow: caws; sparrow:
        chirps; cricket: chirps; monkey: chatters; dove: coos"""),
    statements=("{A} {o}.", "The {s} {o}.", "When it makes a sound, {a} {o}."),
    questions=("Which sound does {a} make?", "What sound do {p} make?", "How does {a} sound?"),
    follow_up="And which sound does it make?",
)
COLOUR = Relation(
    name="colour",
    objects=table("""
        banana: yellow; lemon: yellow; canary: yellow; sunflower: yellow; strawberry: red; cherry: red; tomato: red;
        ruby: red; raspberry: red; carrot: orange; pumpkin: orange; tangerine: orange; cucumber: green; pea: green;
        lime: green; emerald: green; leaf: green; frog: green; plum: purple; eggplant: purple; blueberry: blue;
        sapphire: blue; raven: black; crow: black; swan: white; snowman: white; polar bear: white; flamingo: pink;
        pig: pink; elephant: grey; dolphin: grey; chestnut: brown; chocolate cake: brown"""),
    statements=("{A} is {o}.", "{P} are {o}.", "The colour of {a} is {o}."),
    questions=("What colour is {a}?", "What colour are {p}?", "Which colour does {a} have?"),
    follow_up="And what colour is it?",
)
CAPITAL = Relation(
    name="capital",
    objects=table("""
        France: Paris; Japan: Tokyo; Italy: Rome; Spain: Madrid; Germany: Berlin; Egypt: Cairo; Kenya: Nairobi;
        Peru: Lima; Cuba: Havana; Norway: Oslo; Sweden: Stockholm; Greece: Athens; Russia: Moscow; China: Beijing;
        Canada: Ottawa; Ireland: Dublin; Portugal: Lisbon; Poland: Warsaw; Austria: Vienna; Hungary: Budapest;
        Chile: Santiago; Iran: Tehran; Iraq: Baghdad; Thailand: Bangkok; Vietnam: Hanoi; Turkey: Ankara; Belgium:
        Brussels; Finland: Helsinki; Ghana: Accra; Nepal: Kathmandu; Australia: Canberra; Scotland: Edinburgh"""),
    statements=("The capital of {s} is {o}.", "{o} is the capital of {s}.", "{s} has {o} as its capital."),
    questions=("What is the capital of {s}?", "Which city is the capital of {s}?", "What is the capital city of {s}?"),
    follow_up="And what is its capital?",
)
CONTINENT = Relation(
    name="continent",
    objects=table("""
        France: Europe; Japan: Asia; Italy: Europe; Spain: Europe; Germany: Europe; Egypt: Africa; Kenya: Africa;
        Peru: South America; Cuba: North America; Norway: Europe; Sweden: Europe; Greece: Europe; China: Asia;
        Canada: North America; Ireland: Europe; Portugal: Europe; Poland: Europe; Austria: Europe; Hungary: Europe;
        Chile: South America; Iran: Asia; Iraq: Asia; Thailand: Asia; Vietnam: Asia; Belgium: Europe; Finland:
        Europe; Ghana: Africa; Nepal: Asia; Mexico: North America; Brazil: South America; India: Asia; Nigeria:
        Africa"""),
    statements=("{s} is in {o}.", "{s} is a country in {o}.", "{s} lies in {o}."),
    questions=("Where is {s}?", "On which continent is {s}?", "Which continent is {s} in?"),
    follow_up="And on which continent is it?",
)
WORKPLACE = Relation(
    name="workplace",
    objects=table("""
        baker: in a bakery; doctor: in a hospital; nurse: in a hospital; teacher: in a school; farmer: on a farm;
        sailor: on a ship; captain: on a ship; judge: in a court; lawyer: in a court; cook: in a kitchen; miner: in
        a mine; priest: in a church; actor: in a theatre; librarian: in a library; waiter: in a restaurant;
        scientist: in a laboratory; gardener: in a garden; mechanic: in a garage; astronaut: in space; clown: in a
        circus; pilot: in a plane; cashier: in a shop; lifeguard: at a beach; banker: in a bank"""),
    statements=("{A} works {o}.", "{P} work {o}.", "The workplace of {a} is {o}."),
    questions=("Where does {a} work?", "Where do {p} work?", "What is the workplace of {a}?"),
    follow_up="And where does this person work?",
)
TOOL = Relation(
    name="tool",
    objects=table("""
        painter: a brush; carpenter: a hammer; writer: a pen; fisherman: a net; tailor: a needle; photographer: a
        camera; astronomer: a telescope; barber: scissors; drummer: a drum; gardener: a spade; lumberjack: an axe;
        cook: a pan; teacher: chalk; doctor: a thermometer; mechanic: a wrench; farmer: a tractor; cleaner: a broom;
        firefighter: a hose; scientist: a microscope; archer: a bow"""),
    statements=("{A} uses {o}.", "{P} use {o}.", "The tool of {a} is {o}."),
    questions=("What does {a} use?", "Which tool does {a} use?", "What do {p} use at work?"),
    follow_up="And which tool does this person use?",
)
OPPOSITE = Relation(
    name="opposite",
    objects=table("""
        hot: cold; big: small; day: night; up: down; fast: slow; old: young; happy: sad; wet: dry; open: closed;
        rich: poor; full: empty; hard: soft; loud: quiet; strong: weak; clean: dirty; early: late; light: dark;
        long: short; high: low; left: right; good: bad; brave: timid; sweet: sour; thick: thin; first: last; true:
        false"""),
    statements=("The opposite of {s} is {o}.", "{O} is the opposite of {s}.", "If it is not {s}, it is {o}."),
    questions=(
        "What is the opposite of {s}?",
        "Which word is the opposite of {s}?",
        "What is the opposite word of {s}?",
    ),
    follow_up="And what is its opposite?",
)
MADE = Relation(
    name="made",
    objects=table("""
        bread: flour; pasta: flour; cheese: milk; butter: milk; cream: milk; wine: grapes; chocolate: cocoa; paper:
        wood; glass: sand; mayonnaise: eggs; tofu: soybeans; ketchup: tomatoes; honey: nectar; cider: apples;
        leather: skin; jam: fruit; porcelain: clay; steel: iron; popcorn: corn; soap: fat"""),
    statements=("{S} is made from {o}.", "People make {s} from {o}.", "To make {s}, people use {o}."),
    questions=("What is {s} made from?", "What do people make {s} from?", "What do people use to make {s}?"),
    follow_up="And what is it made from?",
)

# No member belongs to two categories (a hen is a bird as well, a violet a colour): members of the other categories
# serve as wrong answers.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "fruit": ("apple", "pear", "plum", "banana", "cherry", "lemon", "peach", "mango", "grape"),
    "vegetable": ("carrot", "potato", "onion", "cabbage", "pea", "bean", "cucumber", "pumpkin"),
    "bird": ("eagle", "owl", "sparrow", "robin", "swan", "crow", "parrot", "penguin"),
    "insect": ("ant", "bee", "butterfly", "cricket", "mosquito", "beetle", "termite"),
    "colour": ("red", "blue", "green", "yellow", "black", "white", "purple", "pink"),
    "tool": ("hammer", "saw", "spade", "axe", "wrench", "drill", "rake"),
    "instrument": ("piano", "violin", "drum", "guitar", "flute", "trumpet", "harp"),
    "flower": ("orchid", "tulip", "lily", "daisy", "sunflower", "daffodil"),
    "tree": ("oak", "pine", "birch", "maple", "willow", "elm"),
    "farm animal": ("cow", "pig", "sheep", "donkey", "goat", "horse", "ox"),
    "profession": ("baker", "doctor", "teacher", "farmer", "judge", "pilot", "sailor", "nurse"),
    "country": ("France", "Japan", "Italy", "Spain", "Egypt", "Peru", "Norway", "China", "Kenya"),
}

RELATIONS: tuple[Relation, ...] = (
    EATS, LIVES, YOUNG, SOUND, COLOUR, CAPITAL, CONTINENT, WORKPLACE, TOOL, OPPOSITE, MADE,
)  # fmt: skip


# every fact of the world, relation by relation
FACTS: tuple[Fact, ...] = tuple(Fact(relation, subject) for relation in RELATIONS for subject in relation.objects)
SUBJECTS: tuple[str, ...] = tuple(sorted({fact.subject for fact in FACTS}))


def facts_about(subject: str) -> list[Fact]:
    """The facts that share a subject, as an encyclopedia would gather them."""
    return [Fact(relation, subject) for relation in RELATIONS if subject in relation.objects]
