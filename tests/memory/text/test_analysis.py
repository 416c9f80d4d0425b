"""The terms of texts and questions."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.memory.text.analysis import MAX_BYTES, TERM_CHARACTERS, question_of, stems_of, terms_of, weighted_forms
from coterie.memory.text.languages import hinted_languages, languages_of
from coterie.memory.text.stop_words import STOP_WORDS
from coterie.memory.text.values import text_of


def test_a_text_is_taken_apart_into_words_and_stems() -> None:
    assert terms_of("Bob's 5 coins, don't") == ["bob", "5", "coins", "coin", "don"]
    assert stems_of("He was lending the coins") == ["lend", "coin"]
    assert stems_of("The children bought mice") == ["child", "buy", "mous"]


def test_signs_belong_to_the_words_that_they_make() -> None:
    assert terms_of("C++") == ["c++"]
    assert terms_of("node.js!")[:1] == ["node.js"]
    assert {"ann@example.com", "ann", "example"} <= set(terms_of("Write to <ann@example.com>."))
    assert {"v2.0", "2.0"} <= set(terms_of("since v2.0."))
    assert {"email", "mail"} <= set(terms_of("an e-mail"))
    assert {"1,000.50", "1000.50"} <= set(terms_of("for 1,000.50,"))
    assert {"example.com", "a", "b"} <= set(terms_of("https://example.com/a/b"))
    assert terms_of("$5 & 10%") == ["5", "10", "$", "&", "%"]
    assert terms_of("end.  ...and so") == ["end", "and", "so"]


def test_scripts_without_spaces_are_indexed_by_n_grams() -> None:
    assert {"绿", "茶", "绿茶"} <= set(terms_of("我喝绿茶"))
    assert "ข้าว" in terms_of("ฉันกินข้าวผัด")
    assert question_of("我喝绿茶")[0] == ("我喝", "喝绿", "绿茶")
    assert question_of("東京でした")[0] == ("東京", "京で")


def test_languages_are_told_by_function_words_and_letters() -> None:
    assert languages_of(["the", "cat", "is", "in", "the", "house"], "")[0] == "english"
    assert languages_of(["die", "katze", "ist", "im", "haus"], "")[0] == "german"
    assert languages_of(["le", "chat", "est", "dans", "la", "maison"], "")[0] == "french"
    assert languages_of(["bob", "paris"], "") == ()
    assert hinted_languages("łódź")[:2] == ("english", "polish")
    assert set(languages_of(["the", "cat", "and", "die", "katze", "und", "das", "haus"], "")) >= {"english", "german"}


def test_a_form_in_an_unknown_language_is_a_guess() -> None:
    forms = weighted_forms("häuser", ())
    assert forms["hauser"] == 1.0
    assert forms["haus"] == 0.5
    assert weighted_forms("häuser", ("german",))["haus"] == 0.9


def test_a_question_is_reduced_to_its_significant_words() -> None:
    assert question_of("Who did I borrow the coins from?") == (("borrow", "coins"), ("english",))
    assert question_of("coin COINS coin")[0] == ("coin",)
    assert question_of("")[0] == question_of("?!")[0] == ()
    assert question_of("who is it")[0] == ("who", "is", "it")
    assert question_of("Wo ist der Apfel?")[0] == ("apfel",)
    assert "may" in question_of("when in May?")[0]


def test_a_long_question_is_capped_and_its_longest_words_stay() -> None:
    question = " ".join(["cat"] + [f"elephant{n}" for n in range(30)])
    words, _ = question_of(question)
    assert len(words) == 12
    assert "cat" not in words
    assert list(words) == sorted(words, key=question.split().index)
    assert len(question_of("我每天早上喝绿茶和红茶" * 20 + "水")[0]) <= 24


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_terms_that_every_index_takes(text: str) -> None:
    for term in terms_of(text):
        assert term
        assert not any(each.isspace() or each in "'\"\\\0" for each in term)
        assert all(each.isalnum() or each in TERM_CHARACTERS or not each.isascii() for each in term)
        term.encode()
    words, languages = question_of(text)
    for word in words:
        assert weighted_forms(word, languages)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["äpfel", "straße", "café", "naïve", "ΘΆΛΑΣΣΑ", "ёлка", "İzmir", "ﬁsh", "ｆｕｌｌ", "łódź", "smørrebrød", "حِبر"]
        ),
        min_size=1,
    ),
    st.data(),
)
def test_a_word_is_found_in_any_case_and_with_or_without_accents(words: list[str], data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(words))
    bare = "".join(each for each in unicodedata.normalize("NFKD", word) if not unicodedata.combining(each))
    spelling = data.draw(st.sampled_from([word, word.upper(), word.lower(), bare, unicodedata.normalize("NFD", word)]))
    asked, languages = question_of(spelling)
    indexed = set(terms_of(" ".join(words)))
    assert any(indexed & weighted_forms(each, languages).keys() for each in asked), (spelling, asked)


def test_unpaired_surrogates_and_marks_of_direction_are_no_words() -> None:
    assert terms_of("\u200fabc\u200e \ud800x") == ["abc", "x"]
    assert question_of("\udfff")[0] == ()


def test_a_long_text_is_indexed_up_to_what_every_database_takes() -> None:
    text = " ".join(f"w{n:x}" for n in range(200_000))
    terms = terms_of(text)
    assert terms[0] == "w0"
    assert sum(len(each) + 4 for each in set(terms)) <= MAX_BYTES
    assert len(terms_of("lending " * 60_000)) == 120_000


def test_stop_words_are_words_as_they_are_taken_apart() -> None:
    assert all(word == word.casefold() for words in STOP_WORDS.values() for word in words)


def test_the_text_of_a_value_is_all_text_in_it_but_names_of_fields() -> None:
    assert text_of({"content": "a", "more": ["b", {"x": "c"}], "n": 5, "none": None}) == "a b c"
    assert text_of(5) == ""
