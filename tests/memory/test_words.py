"""Words for a search."""

import pytest

from coterie.memory.words import STOP_WORDS, query_words, stem, stems_of, text_of, words_of


@pytest.mark.parametrize(
    ("word", "stemmed"),
    # From the vocabulary that is published with Porter's algorithm.
    [
        ("caresses", "caress"),
        ("ponies", "poni"),
        ("relational", "relat"),
        ("hopping", "hop"),
        ("happy", "happi"),
        ("lend", "lend"),
    ],
)
def test_words_are_stemmed_as_porter_did(word: str, stemmed: str) -> None:
    assert stem(word) == stemmed


def test_a_text_is_taken_apart_into_words() -> None:
    assert words_of("Bob's 5 coins, don't-you_know; Ünïcode 日本") == [
        "bob",
        "5",
        "coins",
        "don",
        "you",
        "know",
        "ünïcode",
        "日本",
    ]
    assert stems_of("He was lending the coins") == ["lend", "coin"]


def test_a_question_is_reduced_to_its_significant_words() -> None:
    assert query_words("Who did I borrow the coins from?") == ("borrow", "coins")
    assert query_words("coin COINS coin") == ("coin",)
    assert query_words("") == query_words("?!") == ()
    assert query_words("who is it") == ("who", "is", "it")
    assert "may" in query_words("when in May?")


def test_a_long_question_is_capped_and_its_longest_words_stay() -> None:
    question = " ".join(["cat"] + [f"elephant{n}" for n in range(30)])
    words = query_words(question)
    assert len(words) == 12
    assert "cat" not in words
    assert list(words) == sorted(words, key=question.split().index)


def test_stop_words_are_words_as_they_are_taken_apart() -> None:
    assert all(words_of(word) == [word] for word in STOP_WORDS)


def test_the_text_of_a_value_is_all_text_in_it_but_names_of_fields() -> None:
    assert text_of({"content": "a", "more": ["b", {"x": "c"}], "n": 5, "none": None}) == "a b c"
    assert text_of(5) == ""
