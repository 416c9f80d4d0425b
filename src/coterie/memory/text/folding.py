"""Folding of text, so that one word in several spellings compares equal, and the classes of its characters.

Case, compatibility forms (NFKC), accents, ligatures and invisible characters do not tell words apart. Accents are removed
only where they are marks on letters: in Indic scripts a mark is a vowel, and stays.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_LATIN_LETTERS = str.maketrans(
    {
        "ø": "o",
        "æ": "ae",
        "œ": "oe",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ł": "l",
        "ħ": "h",
        "ı": "i",
        "ŋ": "n",
        "ŧ": "t",
        # Letters of Arabic that are often written for each other, and those of Persian and Urdu for the same sounds.
        "ٱ": "ا",
        "ى": "ي",
        "ی": "ي",
        "ې": "ي",
        "ک": "ك",
        "ة": "ه",
        "ۀ": "ه",
        "ہ": "ه",
        "ھ": "ه",
        "ـ": None,
    }
)
"""Letters that do not decompose into a base letter and marks."""

_MARKS = (
    *((0x0300, 0x036F), (0x0483, 0x0487), (0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5)),
    *((0x05C7, 0x05C7), (0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06DC), (0x06DF, 0x06E8)),
    *((0x06EA, 0x06ED), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE00, 0xFE0F), (0xFE20, 0xFE2F)),
)
"""The marks that folding removes: those of Latin, Greek, Cyrillic, Hebrew and Arabic, and the selectors of variants."""
_NO_MARKS = dict.fromkeys(mark for first, last in _MARKS for mark in range(first, last + 1))

_CLUSTERS = ((0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF))
"""Thai and Lao, Tibetan, Myanmar, Khmer, New Tai Lue and Tai Tham: scripts without spaces between words."""
_JOINERS = (0x1039, 0x17D2, 0x0F84)
"""Signs that put the next consonant below the last one."""
_HAN = ((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))
_HAN_BEYOND = 0x20000, 0x3FFFF
_KANA = ((0x3041, 0x309A), (0x30A1, 0x30FA), (0x30FC, 0x30FE), (0x31F0, 0x31FF))
_BOPOMOFO = ((0x3105, 0x312F), (0x31A0, 0x31BF))
_HANGUL = ((0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97F), (0xAC00, 0xD7FF))
_REGIONAL = 0x1F1E6, 0x1F1FF
_SKINS = 0x1F3FB, 0x1F3FF

LETTER, DIGIT, HAN, KANA, HIRAGANA, CLUSTER, MARK, JOINER, HANGUL, SYMBOL, REGION, OTHER = "adckhtmvger "
"""The classes of characters. ASCII characters other than letters and digits are classes of their own."""


def _within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for first, last in ranges)


def _class_of(code: int) -> str:  # noqa: PLR0911 - one return for each class
    character = chr(code)
    kind = unicodedata.category(character)
    if character.isascii():
        return LETTER if character.isalpha() else DIGIT if character.isdigit() else character if character > " " else OTHER
    if _within(code, _CLUSTERS) and kind[0] in "LM":
        return JOINER if code in _JOINERS else MARK if kind[0] == "M" else CLUSTER
    if _within(code, _HAN) or _HAN_BEYOND[0] <= code <= _HAN_BEYOND[1]:
        return HAN
    if _within(code, _KANA) or _within(code, _BOPOMOFO):
        return HIRAGANA if code < _KANA[1][0] else KANA
    if _within(code, _HANGUL):
        return HANGUL
    if _REGIONAL[0] <= code <= _REGIONAL[1]:
        return REGION
    if kind[0] == "S" and kind != "Sk":
        return SYMBOL
    if kind[0] in "LMN":
        return LETTER
    # An emoji of a later version of Unicode than this Python's is unassigned here.
    return SYMBOL if kind == "Cn" and code >= _REGIONAL[0] else OTHER


class _Classes(dict[int, str]):
    """The class of each character, found when it is first met."""

    def __missing__(self, code: int) -> str:
        found = self[code] = _class_of(code)
        return found


class _Plain(dict[int, str | int | None]):
    """What `cased` makes of each character: nothing of an invisible one, and the digit 5 of every digit 5."""

    def __missing__(self, code: int) -> str | int | None:
        character = chr(code)
        kind = unicodedata.category(character)
        found: str | int | None = code
        if kind == "Cf" or _SKINS[0] <= code <= _SKINS[1]:
            found = None
        elif kind == "Nd":
            found = str(unicodedata.digit(character))
        elif character in "\u2018\u2019\u02bc":
            found = "'"
        elif kind == "Pd":
            found = "-"
        self[code] = found
        return found


_classes = _Classes()
_plain = _Plain()


def cased(text: str) -> str:
    """Return a text without differences of case, compatibility forms, digits and invisible characters; accents stay."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold()).translate(_plain)


def classes_of(text: str) -> str:
    """Return the class of each character of a text that `cased` returned."""
    return text.translate(_classes)


@lru_cache(maxsize=65_536)
def folded(word: str) -> str:
    """Return a word that `cased` returned without its accents and ligatures."""
    if word.isascii():
        return word
    bare = unicodedata.normalize("NFKD", word).translate(_NO_MARKS)
    return unicodedata.normalize("NFC", bare.translate(_LATIN_LETTERS))


def in_two_letters(word: str) -> str:
    """Return a word with German umlauts as they are written without them: ae, oe and ue."""
    return word.replace("ä", "ae").replace("ö", "oe").replace("ü", "ue")
