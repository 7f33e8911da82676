"""Sentences to be spoken: grammars, fortunes, and mixes of both.

A sentence is a list of units `(written, spoken)`, which differ only where Whisper writes digits, as in
`("25,", "twenty five,")`.
"""

import random
import re
from collections import Counter
from functools import cache
from itertools import accumulate
from pathlib import Path

from words import (
    ADJECTIVES, ADVERBS, DAYS, DOUBLING, IRREGULAR_PLURALS, IRREGULAR_VERBS, MONTHS, NAMES, PLACES, SHOPPING, STUFF,
    SURNAMES, THINGS, VERBS_ALONE, VERBS_OBJECT,
)  # fmt: skip

# A word that was used less often is not worth the time.
KNOWN = 4

Sentence = list[tuple[str, str]]

FORTUNES = Path("/usr/share/games/fortunes")
FORTUNE_FILES = (
    "art computers cookie definitions education food fortunes goedel humorists kids law literature love medicine "
    "men-women miscellaneous people platitudes pets politics riddles science sports tao wisdom work zippy paradoxum"
)
DICTIONARY = Path("/usr/share/dict/american-english")
HELD_OUT = Path(__file__).with_name("heldout.txt")

# What frequent words and fortunes there are that an example should not contain.
UNFIT = re.compile(r"\b(ass|damn\w*|drugs?|hell|kill\w*|murder\w*|sex\w*|terror\w*)\b", re.IGNORECASE)


def _either(text: str) -> list[str]:
    """The alternatives of a text that separates them by bars."""
    return [" ".join(part.split()) for part in re.split(r"\|(?![^{]*\})", text)]


@cache
def frequent_words(count: int = 800) -> list[str]:
    """The most frequent English words that are one token: GPT-2 numbered its tokens by frequency."""
    from whisper.tokenizer import get_tokenizer

    tokenizer = get_tokenizer(multilingual=False)
    known = set(DICTIONARY.read_text().split())
    found = []
    for token in range(50256):
        text = tokenizer.decode([token])
        if re.fullmatch(r" ([a-z]{3,}|[a-z]{2})", text) and text[1:] in known and not UNFIT.search(text):
            if (
                len(text) > 3
                or text[1:] in "am an as at be by do go he if in is it me my no of on or so to up us we oh".split()
            ):
                found.append(text[1:])
        if len(found) == count:
            break
    return found


class Choice:
    """Words, the frequent ones more likely."""

    def __init__(self, words):
        self.words = list(words)
        self.sums = list(accumulate(1 / (8000 + _rank(word)) for word in self.words))

    def __call__(self, rng: random.Random) -> str:
        return rng.choices(self.words, cum_weights=self.sums)[0]


@cache
def _rank(word: str) -> int:
    from whisper.tokenizer import get_tokenizer

    tokens = get_tokenizer(multilingual=False).encode(" " + word)
    return min(tokens[0], 15_000) if len(tokens) == 1 else 20_000


def plural(noun: str) -> str:
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if re.search(r"(s|x|ch|sh)$", noun):
        return noun + "es"
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + "s"


def third(verb: str) -> str:
    return plural(verb) if verb != "go" else "goes"


def past(verb: str) -> str:
    if verb in IRREGULAR_VERBS:
        return IRREGULAR_VERBS[verb][0]
    if verb.endswith("e"):
        return verb + "d"
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    return verb + (verb[-1] if verb in DOUBLING else "") + "ed"


def participle(verb: str) -> str:
    return IRREGULAR_VERBS[verb][1] if verb in IRREGULAR_VERBS else past(verb)


def ing(verb: str) -> str:
    if verb == "lie":
        return "lying"
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    return verb + (verb[-1] if verb in DOUBLING else "") + "ing"


ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)


def number(value: int) -> str:
    """How `value` is read aloud, up to 9999."""
    if value < 20:
        return ONES.split()[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return TENS.split()[tens - 2] + (f" {number(ones)}" if ones else "")
    scale, name = (100, "hundred") if value < 1000 else (1000, "thousand")
    high, low = divmod(value, scale)
    return f"{number(high)} {name}" + (f" {number(low)}" if low else "")


def ordinal(value: int) -> str:
    if value <= 20:
        return ORDINALS.split()[value - 1]
    tens, ones = divmod(value, 10)
    if ones:
        return f"{TENS.split()[tens - 2]} {ordinal(ones)}"
    return TENS.split()[tens - 2][:-1] + "ieth"


def _time(rng: random.Random) -> str:
    hour = rng.randint(1, 12)
    minute = rng.choice([0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55])
    if minute == 0:
        return rng.choice([f"{number(hour)} o'clock", f"{number(hour)}"])
    spoken = f"{number(hour)} {'oh ' if minute < 10 else ''}{number(minute)}"
    return rng.choice(
        [f"{{{hour}:{minute:02}|{spoken}}}", f"half past {number(hour)}", f"a quarter past {number(hour)}"]
    )


def _date(rng: random.Random) -> str:
    day = rng.randint(1, 31)
    suffix = "th" if 4 <= day <= 20 or day >= 24 and day < 31 else ["st", "nd", "rd"][day % 10 - 1]
    month = rng.choice(MONTHS)
    return rng.choice([f"{month} {{{day}{suffix}|{ordinal(day)}}}", f"the {{{day}{suffix}|{ordinal(day)}}} of {month}"])


def _number(rng: random.Random) -> str:
    value = rng.choice(
        [rng.randint(1, 10), rng.randint(1, 10), rng.randint(2, 100), rng.randint(2, 20) * 10, rng.randint(2, 12) * 100]
    )
    return number(value) if value <= 12 else f"{{{value}|{number(value)}}}"


def _year(rng: random.Random) -> str:
    year = rng.randint(1950, 2035)
    high, low = divmod(year, 100)
    spoken = (
        f"two thousand {number(low) if low else ''}".strip()
        if 2000 <= year < 2010
        else f"{number(high)} {'oh ' if low < 10 else ''}{number(low) if low else 'hundred'}"
    )
    return f"{{{year}|{spoken}}}"


def _shopping(rng: random.Random) -> str:
    items = rng.sample(SHOPPING, rng.randint(2, 5))
    return ", ".join(items[:-1]) + " and " + items[-1]


def _slots() -> dict:
    """What stands for each `<slot>`: a list of alternatives, or a function of the random generator."""
    pick = lambda words, change=str: Choice(map(change, words))  # noqa: E731
    return {
        "thing": pick(THINGS), "things": pick(THINGS, plural), "stuff": pick(STUFF), "adj": pick(ADJECTIVES),
        "adv": pick(ADVERBS), "name": pick(NAMES), "surname": pick(SURNAMES), "place": pick(PLACES), "day": pick(DAYS),
        "month": pick(MONTHS), "vt": pick(VERBS_OBJECT), "vts": pick(VERBS_OBJECT, third), "vted": pick(VERBS_OBJECT, past),
        "vten": pick(VERBS_OBJECT, participle), "vting": pick(VERBS_OBJECT, ing), "vi": pick(VERBS_ALONE),
        "vis": pick(VERBS_ALONE, third), "vied": pick(VERBS_ALONE, past), "ving": pick(VERBS_ALONE, ing),
        "word": Choice(frequent_words() + THINGS), "time": _time, "date": _date, "n": _number, "year": _year,
        "shopping": _shopping,
        "det": _either("""
            the | the | the | a | this | that | my | your | his | her | our | their | every | another | each | some
        """),
        "dets": _either("""
            the | the | these | those | my | your | our | their | some | all the | many | a few | most | several | no |
            two | three | four | five | six | both
        """),
        "np": _either("""
            <det> <thing> | <det> <thing> | <det> <thing> | <det> <thing> | <det> <thing> | <det> <adj> <thing> | <det>
            <adj> <thing> | <det> <adj> <thing> | <det> <adj> <thing> | <dets> <things> | <dets> <things> | <dets> <adj>
            <things> | <name> | <name> | the <stuff> | some <stuff> | the <thing> of <np> | <name> <surname> | the
            <thing> and the <thing> | everything | nothing | something | the <adj> one | a lot of <stuff> | more <stuff>
            | the <thing> <pp> | such a <adj> <thing>
        """),
        "who": _either("""
            he | she | I | we | they | you | <name> | <name> | my <person> | the <person> | your <person> | everyone |
            nobody | someone | it | <name> and <name> | the <adj> <person> | her <person> | his <person> | the <person>
            and the <person> | a <person> | Mr. <surname> | Mrs. <surname>
        """),
        "person": _either("""
            mother | father | sister | brother | friend | doctor | teacher | neighbor | boss | manager | wife | husband
            | son | daughter | uncle | aunt | king | queen | boy | girl | man | woman | lady | captain | student |
            farmer | driver | lawyer | director | old man | grandfather | grandmother | cousin | assistant | police
        """),
        "whom": _either("""
            me | him | her | us | them | you | <name> | the <person> | my <person> | the team | everyone | <name> and
            <name> | the whole group
        """),
        "pp": _either("""
            in <np> | on <np> | with <np> | near <np> | under <np> | behind <np> | for <np> | from <place> | in <place>
            | to <place> | about <np> | of <np> | at <np> | without <np> | after <np> | before <np> | across <np> |
            along <np> | through <np> | over <np> | into <np> | until <when> | between <np> and <np> | in front of <np>
            | next to <np> | against <np> | around <np> | by <np> | off <np> | than <np> | like <np> | during <np> |
            since <when> | except <np>
        """),
        "when": _either("""
            today | tomorrow | tonight | yesterday | now | soon | <day> | next week | last year | next <day> | last
            <thing> | this <part> | every day | <month> | the <part> | tomorrow <part> | on <day> | on <day> <part> | in
            the <part> | before <day> | after <day> | at <time> | last night | a long time ago | <n> years ago | in <n>
            minutes | for many years | twice a week | in <month> | on <date> | this year | before <time> | at once |
            next month | for a week | for <n> hours | all day | in <year> | at night | next summer | last winter | this
            spring
        """),
        "part": ["morning", "afternoon", "evening", "weekend"],
        "modal": _either("""
            can | could | will | would | should | must | may | might | cannot | could not | will not | should not | did
            not | do not | would not | has to | have to | had to | want to | wants to | need to | needs to | likes to |
            tried to | forgot to | decided to | began to | used to | going to | able to | can't | don't | won't | didn't
            | hopes to
        """),
        "be": _either("""
            is | was | are | were | will be | is not | was not | has been | had been | must be | can be | could be |
            isn't | wasn't | seems | looks | became | feels | should be | may be | would be
        """),
        "vp": _either("""
            <vted> <np> | <vted> <np> <pp> | <vts> <np> | <modal> <vt> <np> | <modal> <vt> <np> <when> | <vied> <pp> |
            <vied> <adv> | <modal> <vi> | <modal> <vi> <pp> | <be> <adj> | <be> very <adj> | <be> too <adj> <pp> | <be>
            <np> | <be> <ving> <pp> | <be> <vting> <np> | <be> <vten> | <be> <vten> by <np> | <be> <adj> and <adj> | has
            <vten> <np> | had <vten> <np> <when> | have never <vten> <np> | <adv> <vted> <np> | <vted> <whom> to <vt>
            <np> | said that <cl> | think that <cl> | knew why <cl> | asked <whom> to <vi> | <be> more <adj> than <np> |
            <be> as <adj> as <np> | <vted> <np> <when> | <be> much better than <np> | wants <np> | have <np> | has <np>
            | had <np> | agreed that <cl> | hope that <cl> | went <pp> | came <pp> | goes <pp> | went down | came back |
            got up | am <adj> | am <ving> | lives <pp> | works <pp> | loves <np> | likes <ving> | do not know <np> |
            <be> at home | was built <when>
        """),
        "cl": _either("""
            <who> <vp> | <who> <vp> | <who> <vp> | <np> <vp> | <np> <vp> | <np> <vp> | there is <np> <pp> | there are
            <dets> <things> <pp> | it <be> <adj> | there were <dets> <things> | it takes <n> minutes to <vt> <np> | it
            <be> <adj> to <vt> <np>
        """),
        "cap": ["<cl>"],
        "link": _either("""
            and | but | because | so | when | if | while | until | although | as | before | after | or | since | that |
            where | unless | and then
        """),
        "hello": ["hello", "hi", "good morning", "good evening", "dear", "hey"],
        "file": _either("""
            <adj> file | <thing> file | document | folder | report | letter | last message | <thing> list | page
        """),
        "gone": ["where", "when", "why", "how"],
        "command": _either("""
            open the <file> | close the <file> | save the <file> | save it as <word> | print <n> pages | print <n>
            copies of the <file> | delete the last <unit> | delete <np> | delete this <unit> | start a new <unit> | go
            to the next <unit> | select the <adj> <unit> | undo that | scroll down | scroll up | call <name> | call my
            <person> | send it to <name> | send <np> to <whom> | send <np> to <whom> <when> | remind me to <vt> <np> |
            remind me to <vt> <np> <when> | set a timer for <n> minutes | set an alarm for <time> | turn off the <thing>
            | turn on the <thing> | turn the <thing> on | stop the music | play some <stuff> | play the next song |
            write down <np> | read the <adj> <unit> again | add <np> to the list | add <stuff> to the shopping list |
            buy <shopping> | make a note about <np> | create a new <thing> | move the <thing> to <np> | copy this <unit>
            | paste it <pp> | search for <np> | replace <word> with <word> | find <np> | show me <np> | show me the
            <thing> of <place> | start recording | stop recording | cancel the <thing> | mute the <thing> | type <word>
            <word> | let me know when <cl> | tell <whom> that <cl> | ask <whom> to <vt> <np> | do not forget to <vt>
            <np> | wait for <whom> | come back <when> | give me <np> | bring <np> | take <np> to <place> | try <np> | be
            <adj> | look at <np> | leave <np> <pp> | speak a little more <adv> | check <np> | book a <thing> to <place>
            <when> | translate this <unit> | spell <word>
        """),
        "unit": ["word", "sentence", "paragraph", "line", "page", "chapter", "section", "letter", "message"],
    }  # fmt: skip


STATEMENTS = _either("""
    <cl>. | <cl>. | <cl>. | <cl>. | <cl> <link> <cl>. | <cl>, <link> <cl>. | <np> <vp>. | <who> <vp> <when>. | <when>,
    <cl>. | if <cl>, <cl>. | when <cl>, <cl>. | <name>, <cl>. | I think <cl>. | I <vp>. | we <vp>. | you <vp>. | there
    is <np> <pp>. | there is no <thing> <pp>. | this is <np>. | this is the <adj> <thing> <pp>. | it was <np>. | I would
    like <np>. | I would like to <vt> <np>. | thank you for <np>. | thank you for <vting> <np>. | it is <time>. | that
    is <adj>. | yes, <cl>. | no, <cl>. | well, <cl>. | I am sorry that <cl>. | I am <ving> <pp>. | of course <cl>. | the
    <thing> to <place> leaves <when>. | we need <np>. | we need more <stuff> to <vt> <np>. | my name is <name>
    <surname>. | the answer to <np> is <adj>. | <np> costs <n> dollars. | we met <name> in <place> in <year>. | I was
    born on <date>. | the meeting is on <date> at <time>. | the meeting with <name> starts <when>. | <name> lives in
    <place>. | the <thing> is {<thing>|<thing>}. | we have <n> <things>. | there were <n> <things> <pp>. | I need
    <shopping>. | we bought <shopping>. | not <np>, but <np>. | first <cl>, then <cl>. | as <who> said, <cl>. | the
    <part> was <adj> and <adj>. | nothing in the world is as <adj> as <np>. | every <thing> has <np>. | most of <np>
    <vp>. | the <adj> <thing> of <np> <vp>. | <hello>, <name>. | <hello>, <name>, <cl>. | see you <when>. | best
    regards, <name>. | nice to meet you, <name>. | one, two, three, four, five. | <command>. | please <command>. |
    please <command>. | <command>, please. | <name> <vts> <np>. | <who> <vts> <np> <pp>. | <np> <vts> <np>. | <np> <vis>
    <pp>. | <stuff> <vts> <np>. | <stuff> makes <whom> <adj>. | the <adj> <thing> <vts> over the <adj> <thing>. | most
    <things> <vi> <adv>. | <name>, <command>. | <hello> <name>, <command>. | don't <vt> <np>. | do not <vt> <np> <pp>. |
    let's <vt> <np>. | let us <vi> <when>. | <command> and <command>. | <vting> <np> is <adj>. | to <vt> <np> is to <vt>
    <np>. | the <n> <things> <vp>. | page <n>. | chapter <n>. | room <n>. | the number is <n>. | about <n> people <vp>.
""")
QUESTIONS = _either("""
    can you <vt> <np>? | can you tell me where <np> is? | could you <vt> <np> <when>? | do you <vt> <np>? | did <who>
    <vt> <np>? | where is <np>? | where did you <vt> <np>? | when will <who> <vi>? | what is <np>? | what did you <vt>?
    | why did <who> <vi>? | how many <things> are there? | how many <things> are <pp>? | how much does <np> cost? | who
    <vted> <np>? | is <np> <adj>? | are you <adj>? | are the <things> <adj>? | what time is it? | how are you <when>? |
    is there <np> <pp>? | will you <vt> <np>? | would you like <np>? | have you <vten> <np>? | has <who> <vten> <np>? |
    why is <np> so <adj>? | which <thing> is <adj>? | what do you think of <np>? | what does <np> do? | should we <vt>
    <np>? | is that <np>? | was it <adj>? | how did <who> <vt> <np>? | what can I do for <whom>? | what about <np>? | do
    you know <gone> <cl>? | isn't it <adj>? | who is <name>? | why not?
""")
SHORT = _either("""
    <np>. | <thing>. | <adj> <thing>. | <word>. | <word> <word>. | <word> <word> <word>. | <command>. | <name>. | <pp>.
    | <when>. | <who> <vied>. | <vt> <np>. | the <word> <word>. | <adv>. | <place>. | <n> <things>. | <date>. | <time>.
    | yes. | no. | okay. | thank you. | good <part>. | <day>. | <word> and <word>. | the <word> of <word>. | to <word>
    the <word>. | <who> <vted> <np>. | it is <adj>. | a <word> <word>. | hello. | sorry. | goodbye. | never mind. |
    <name> and <name>.
""")

# What most sentences begin with, so that capital letters are learnt where they matter.
STARTS = [
    *"the a an this that these those my your his her our their it he she we they you I there what where when who why how which "
    "is are was were do does did can could will would should if in on at for with from to of and but so not no yes all some "
    "every each most many two three one first last next please open close save print delete call read write send tell show "
    "remind play stop start turn add buy bring give take make find look nobody nothing everyone everything someone something "
    "after before because then now today tomorrow never always let good best new old music people water thank".split(),
    *NAMES, *PLACES, *DAYS, *MONTHS,
]  # fmt: skip

_SLOT = re.compile(r"<(\w+)>")
_UNIT = re.compile(r"\{([^|}]*)\|([^}]*)\}(\S*)|(\S+)")


class Corpus:
    """An endless, seeded source of sentences. None of them is a held-out one.

    Given how often every word was used before, it prefers words that were seldom; not those that are as good as unknown.
    """

    def __init__(self, seed: int, used: Counter | None = None):
        self.rng = random.Random(seed)
        self.used = used
        self.slots = _slots()
        frequent = Choice(frequent_words())
        ours = (
            _known_words()
            - set(frequent.words)
            - {name.lower() for names in (NAMES, PLACES, DAYS, MONTHS) for name in names}
        )
        ours = Choice(sorted(word for word in ours if re.fullmatch("[a-z]{2,}", word)))
        self.any_word = lambda rng: (frequent if rng.random() < 0.35 else ours)(rng)
        self.fortunes = list(_fortune_sentences())
        self.held_out = {normal(line) for line in HELD_OUT.read_text().splitlines()}
        self.following: dict[str, list[str]] = {}
        for sentence in self.fortunes + [self._grammar() for _ in range(8000)]:
            tokens = ["^", *sentence.split(), "$"]
            for first, second in zip(tokens, tokens[1:]):
                self.following.setdefault(first.lower(), []).append(second)

    def sentence(self) -> Sentence:
        """One sentence of up to 16 words."""
        kinds = [
            self._grammar,
            self._short,
            self._salad,
            self._changed,
            self._chain,
            lambda: self.rng.choice(self.fortunes),
        ]
        shares = [38, 14, 20, 12, 9, 7] if self.used is None else [0, 10, 60, 30, 0, 0]
        while True:
            text = self.rng.choices(kinds, shares)[0]()
            text = re.sub(r"\b([Aa]) (?=[aeiou])(?!(un[iu]|us|one|eu))", r"\1n ", text)
            text = text[0].upper() + text[1:]
            units = [(m[1] + m[3], m[2] + m[3]) if m[4] is None else (m[4], m[4]) for m in _UNIT.finditer(text)]
            if len(units) <= 16 and normal(text) not in self.held_out and "<" not in text:
                if self.used is not None:
                    self.used.update(normal(text).split())
                return units

    def word(self, rng: random.Random) -> str:
        if self.used is None:
            return self.any_word(rng)
        words = [self.any_word(rng) for _ in range(8)]
        return min(words, key=lambda word: self.used[word] if self.used[word] >= KNOWN else 10**6)

    def _expand(self, template: str) -> str:
        while match := _SLOT.search(template):
            choice = self.slots[match[1]]
            choice = choice(self.rng) if callable(choice) else self.rng.choice(choice)
            template = template[: match.start()] + choice + template[match.end() :]
            if len(template) > 400:
                return "Too long."
        return template

    def _grammar(self) -> str:
        while True:
            text = self._expand(self.rng.choice(self.rng.choices([STATEMENTS, QUESTIONS], [5, 1])[0]))
            if len(text.split()) <= 15:
                return text

    def _short(self) -> str:
        return self._expand(self.rng.choice(SHORT))

    def _salad(self) -> str:
        """Frequent words in any order: what makes the decoder listen."""
        words = [self.word(self.rng) for _ in range(self.rng.randint(2, 9))]
        small = "the of and to a in is that it for was on with as his they be at this have from or had by not but what".split()
        words = [self.rng.choice(small) if self.rng.random() < 0.2 else word for word in words]
        if self.rng.random() < 0.7:
            words[0] = self.rng.choice(STARTS)
        if self.rng.random() < 0.15:
            words[0] += ","
        return " ".join(words) + self.rng.choice("...?")

    def _changed(self) -> str:
        """A sentence with other words in some places."""
        words = (self._grammar() if self.rng.random() < 0.6 else self.rng.choice(self.fortunes)).split()
        for at in range(len(words)):
            if self.rng.random() < 0.2 and (match := re.fullmatch(r"[a-z]{2,}([,.?]?)", words[at])):
                words[at] = self.word(self.rng) + match[1]
        return " ".join(words)

    def _chain(self) -> str:
        """A walk over pairs of words that follow one another somewhere."""
        words = ["^"]
        while len(words) < 14:
            word = self.rng.choice(self.following.get(words[-1].lower(), ["$"]))
            if word == "$":
                break
            words.append(word)
        text = " ".join(words[1:])
        return text if text[-1] in ".?!" else text.rstrip(",;") + "."


def normal(text: str) -> str:
    """Lower case, no punctuation: how texts are compared."""
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


@cache
def _known_words() -> set[str]:
    lists = [frequent_words(1000), THINGS, map(plural, THINGS), STUFF, ADJECTIVES, ADVERBS, VERBS_OBJECT, VERBS_ALONE]
    verbs = VERBS_OBJECT + VERBS_ALONE
    lists += [
        map(third, verbs),
        map(past, verbs),
        map(participle, verbs),
        map(ing, verbs),
        ["i", "a", "i'm", "don't", "it's"],
    ]
    lists += [normal(line).split() for line in HELD_OUT.read_text().splitlines()]
    lists += [number(value).split() for value in [*range(20), *range(20, 100, 10), 100, 1000]]
    lists += [map(str.lower, names) for names in (NAMES, PLACES, DAYS, MONTHS)]
    return {word for words in lists for word in words}


def _fortune_sentences():
    """The plain sentences of the fortunes whose words are all frequent."""
    for name in FORTUNE_FILES.split():
        path = FORTUNES / name
        if not path.exists():
            continue
        for fortune in path.read_text(errors="replace").split("\n%\n"):
            if UNFIT.search(fortune):
                continue
            for sentence in re.split(r"(?<=[.?!])\s+", " ".join(fortune.split())):
                if re.fullmatch(r"[A-Z][A-Za-z' ,]+[.?!]", sentence) and 2 <= len(sentence.split()) <= 15:
                    if not re.search(r" [A-Z][a-z]", sentence) and all(
                        word in _known_words() for word in normal(sentence).split()
                    ):
                        yield sentence


if __name__ == "__main__":
    corpus = Corpus(seed=1)
    print(len(corpus.fortunes), "sentences of fortunes,", len(_known_words()), "words")
    for _ in range(60):
        print(" ".join(written for written, _ in corpus.sentence()))
