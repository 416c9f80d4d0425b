"""Languages: which ones a text is in, and the stems of a word in them.

A language with a script of its own is known by its letters, another by its function words. Nothing is guessed from one word:
a text without function words counts as English, and as the languages that share its special letters; a question without
them is searched for in all languages of its script.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import snowballstemmer

from coterie.memory.text.folding import LETTER, classes_of, folded, in_two_letters
from coterie.memory.text.stop_words import STOP_WORDS

LONGEST = 64
"""The number of significant characters of a word. A longer string is no word, but may be megabytes of other data."""

_DEFAULT = "english"
_MOST = 3
"""The maximum of languages of one text."""

_SCRIPTS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0x0370, 0x03FF, ("greek",)),
    (0x0400, 0x052F, ("russian", "serbian")),
    (0x0530, 0x058F, ("armenian",)),
    (0x0590, 0x05FF, ("hebrew",)),
    (0x0600, 0x08FF, ("arabic", "persian")),
    (0x0900, 0x097F, ("hindi", "nepali")),
    (0x0B80, 0x0BFF, ("tamil",)),
    (0x1F00, 0x1FFF, ("greek",)),
    (0xAC00, 0xD7AF, ("korean",)),
)
"""Scripts and their languages; all languages of a script but Latin are used for each word in it."""

_HINTS = {
    "ß": ("german",),
    "ä": ("german", "finnish", "swedish"),
    "ö": ("german", "turkish", "hungarian"),
    "ü": ("german", "turkish"),
    "å": ("swedish", "norwegian"),
    "æ": ("danish", "norwegian"),
    "ø": ("danish", "norwegian"),
    "ñ": ("spanish",),
    "ç": ("french", "portuguese", "turkish"),
    "ã": ("portuguese",),
    "õ": ("portuguese", "estonian"),
    "œ": ("french",),
    "ğ": ("turkish",),
    "ş": ("turkish", "romanian"),
    "ı": ("turkish",),
    "ł": ("polish",),
    "ż": ("polish",),
    "ę": ("polish",),
    "ą": ("polish",),
    "ő": ("hungarian",),
    "ű": ("hungarian",),
    "ř": ("czech",),
    "ě": ("czech",),
    "ů": ("czech",),
    "ž": ("czech", "lithuanian"),
    "č": ("czech", "serbian"),
    "ć": ("serbian", "polish"),
    "đ": ("serbian",),
    "ț": ("romanian",),
    "ș": ("romanian",),
    "ă": ("romanian",),
    "è": ("italian", "french"),
    "ò": ("italian",),
    "ì": ("italian",),
    "ê": ("french", "portuguese"),
    "á": ("spanish", "hungarian"),
    "í": ("spanish", "czech"),
    "ó": ("spanish", "polish"),
    "ú": ("spanish",),
    "é": ("french",),
    "ė": ("lithuanian",),
    "ų": ("lithuanian",),
    "ĉ": ("esperanto",),
    "ŭ": ("esperanto",),
    "à": ("italian", "french"),
}
"""The languages of letters, for a text without function words."""

_LATIN = (
    *("english", "german", "french", "spanish", "italian", "portuguese", "dutch", "swedish", "norwegian", "danish", "finnish"),
    *("hungarian", "romanian", "turkish", "polish", "czech", "catalan", "indonesian", "lithuanian", "estonian", "basque"),
    *("irish", "esperanto", "serbian"),
)
LATIN = frozenset(_LATIN)
_LATIN_END = 0x0250

_IRREGULAR = """
arise arose arisen;awake awoke awoken;bear bore borne;beat beaten;become became;begin began begun;bend bent;bind bound;
bite bit bitten;bleed bled;blow blew blown;break broke broken;breed bred;bring brought;build built;burn burnt;buy bought;
catch caught;choose chose chosen;cling clung;come came;creep crept;deal dealt;dig dug;draw drew drawn;dream dreamt;
drink drank drunk;drive drove driven;eat ate eaten;fall fell fallen;feed fed;feel felt;fight fought;find found;flee fled;
fling flung;fly flew flown;forbid forbade forbidden;forget forgot forgotten;forgive forgave forgiven;freeze froze frozen;
go went gone;grow grew grown;hang hung;hear heard;hide hid hidden;hold held;keep kept;kneel knelt;know knew known;
lay laid;lead led;leap leapt;learn learnt;leave left;lend lent;lose lost;make made;mean meant;meet met;mistake mistook mistaken;
pay paid;prove proven;ride rode ridden;ring rang rung;rise rose risen;run ran;see saw seen;seek sought;sell sold;send sent;
sew sewn;shake shook shaken;shine shone;shoot shot;show shown;shrink shrank shrunk;sing sang sung;sink sank sunk;sit sat;
sleep slept;slide slid;speak spoke spoken;speed sped;spell spelt;spend spent;spill spilt;spin spun;spring sprang sprung;
stand stood;steal stole stolen;stick stuck;sting stung;strike struck;strive strove;swear swore sworn;sweep swept;
swell swollen;swim swam swum;swing swung;take took taken;teach taught;tear tore torn;think thought;throw threw thrown;
understand understood;undertake undertook;wake woke woken;wear wore worn;weave wove woven;weep wept;win won;wind wound;
withdraw withdrew withdrawn;write wrote written;child children;foot feet;goose geese;man men;mouse mice;tooth teeth;
woman women;person people;half halves;knife knives;leaf leaves;life lives;loaf loaves;shelf shelves;thief thieves;
wife wives;wolf wolves
"""
_BASES = {form: forms.split()[0] for forms in _IRREGULAR.split(";") for form in forms.split()[1:]}
"""The base form of each irregular English form, which a stemmer does not find."""

_PARTICLES = (
    *(
        "에서부터",
        "으로부터",
        "이라고",
        "에게서",
        "한테서",
        "까지는",
        "에서는",
        "으로는",
        "이라는",
        "에서",
        "에게",
        "한테",
        "으로",
        "부터",
    ),
    *(
        "까지",
        "처럼",
        "보다",
        "하고",
        "이나",
        "라고",
        "라는",
        "마다",
        "조차",
        "밖에",
        "들은",
        "들이",
        "들을",
        "들",
        "을",
        "를",
        "이",
        "가",
    ),
    *("은", "는", "에", "의", "와", "과", "도", "로", "만", "께", "나", "랑"),
)
_ARABIC = ("وبال", "فبال", "وكال", "وال", "فال", "بال", "كال", "ولل", "لل", "ال", "و", "ف", "ب", "ل", "ك")
_HEBREW = ("וכש", "שב", "שה", "של", "וה", "וב", "ול", "ומ", "ה", "ו", "ב", "ל", "מ", "ש", "כ")

_ETHIOPIC = 0x1200, 0x1357
_ETHIOPIC_PREFIXES = frozenset("በለየከአ")

_HITS: dict[str, tuple[str, ...]] = {}
for _language, _words in STOP_WORDS.items():
    for _word in _words:
        _HITS[_word] = (*_HITS.get(_word, ()), _language)
        if folded(_word) != _word and folded(_word) not in STOP_WORDS["english"]:
            _HITS.setdefault(folded(_word), ())
            _HITS[folded(_word)] = (*_HITS[folded(_word)], _language)
_ALL_STOP_WORDS = {language: words | frozenset(map(folded, words)) for language, words in STOP_WORDS.items()}


def languages_of(words: Iterable[str], text: str) -> tuple[str, ...]:
    """Return the languages in Latin letters of a text's words, the likeliest first; empty if no function word tells."""
    scores: dict[str, float] = {}
    for hits in filter(None, map(_HITS.get, words)):
        share = 1.0 / len(hits)
        for language in hits:
            scores[language] = scores.get(language, 0.0) + share
    if not scores.keys() & LATIN:
        return ()
    for letter in _special_letters(text):
        hints = _HINTS.get(letter, ())
        for language in hints:
            scores[language] = scores.get(language, 0.0) + 1.0 / len(hints)
    found = sorted((language for language in scores if language in LATIN), key=lambda each: (-scores[each], each))
    best = scores[found[0]]
    chosen = tuple(language for language in found[:_MOST] if 2.0 * scores[language] >= best)
    # One word that several languages have, as in a name, tells little.
    return chosen if best >= 1.0 or _DEFAULT in chosen else (*chosen, _DEFAULT)


def hinted_languages(text: str) -> tuple[str, ...]:
    """Return English, and the languages that use special letters of a text in lower case."""
    return tuple(dict.fromkeys((_DEFAULT, *(each for letter in _special_letters(text) for each in _HINTS.get(letter, ())))))


def _special_letters(text: str) -> list[str]:
    return [] if text.isascii() else [letter for letter in dict.fromkeys(text) if not letter.isascii()]


def is_stop_word(word: str, languages: tuple[str, ...]) -> bool:
    """Return whether a word is a function word of one of the languages, or of its own script's."""
    hits = _HITS.get(word)
    if hits is None:
        return False
    return any(language in hits for language in languages) or any(language not in LATIN for language in hits)


@lru_cache(maxsize=65_536)
def forms_of(word: str, languages: tuple[str, ...]) -> tuple[str, ...]:
    """Return the terms of a word that `cased` returned: first the folded word, then its stems in the languages.

    `languages` counts for words in Latin letters only; empty means all.
    """
    word = word[:LONGEST]
    plain = folded(word)
    forms = dict.fromkeys((plain,))
    if any(each.isdigit() for each in plain):
        return (plain,)
    if word.isascii():
        if not word.isalpha():
            return (plain,)
        own: tuple[str, ...] = languages or _LATIN
    else:
        two = folded(in_two_letters(word))
        forms[two] = None
        code = next((ord(each) for each in word if not each.isdigit()), 0)
        own = next(
            (each for first, last, each in _SCRIPTS if first <= code <= last), languages or _LATIN if code < _LATIN_END else ()
        )
        if not own and set(classes_of(plain)) == {LETTER}:
            # No stemmer knows the script: most languages inflect at the end of a word.
            if _ETHIOPIC[0] <= code <= _ETHIOPIC[1]:
                forms.update(dict.fromkeys(_in_ethiopic(plain)))
            else:
                forms.update((plain[:length], None) for length in range(len(plain) - 1, max(3, len(plain) - 4), -1))
    for language in own:
        for each in dict.fromkeys((word, plain)):
            for stem in _stems(each, language):
                if len(stem) > 1 or stem in ("c", "r"):
                    forms[folded(stem)] = None
    return tuple(each for each in forms if each)


def _in_ethiopic(word: str) -> list[str]:
    """Return forms of a word in syllables: their consonants, without a prefix, and without the last syllables."""
    # Each consonant has eight places, one for each of its vowels.
    bare = "".join(chr(ord(each) & ~7) if _ETHIOPIC[0] <= ord(each) <= _ETHIOPIC[1] else each for each in word)
    stem = bare[1:] if len(bare) >= 3 and bare[0] in _ETHIOPIC_PREFIXES else bare  # noqa: PLR2004 - a shorter one is no word
    return [each[:length] for each in dict.fromkeys((bare, stem)) for length in range(len(each), max(1, len(each) - 3), -1)]


def _stems(word: str, language: str) -> tuple[str, ...]:
    if language == "english":
        return (stem_of(_BASES.get(word, word), "english"),)
    if language == "korean":
        return _without_ending(word, _PARTICLES)
    if language == "hebrew":
        return tuple(word[len(prefix) :] for prefix in _HEBREW if word.startswith(prefix) and len(word) - len(prefix) >= 3)  # noqa: PLR2004
    if language == "arabic":
        # One letter is a prefix of a long word, and the first letter of a short one.
        bare = next((word[len(each) :] for each in _ARABIC if word.startswith(each) and len(word) >= 6 - (len(each) > 1)), word)
        return (stem_of(word, language), bare, stem_of(bare, language))
    return (stem_of(word, language),)


def _without_ending(word: str, endings: tuple[str, ...]) -> tuple[str, ...]:
    return next(((word[: -len(each)],) for each in endings if word.endswith(each) and len(word) > len(each)), ())


def stem_of(word: str, language: str) -> str:
    """Return the stem of a word in a language of Snowball."""
    # A stemmer has mutable state, so threads may not share one; to make one takes half a microsecond.
    return str(snowballstemmer.stemmer(language).stemWord(word))
