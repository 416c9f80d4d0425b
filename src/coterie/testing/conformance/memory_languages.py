"""The part of the archive's contract that concerns languages: a word is found in every case, form and accent."""

from __future__ import annotations

from coterie.memory import Archive, MemoryRecord, Put, SearchQuery
from coterie.memory.backends.in_process import InProcessArchive
from coterie.memory.text.analysis import question_of

SENTENCES: dict[str, tuple[str, tuple[str, ...]]] = {
    "english": ("Bob was lending me five coins before the children bought cakes.", ("lend", "COINS", "child", "buy cake")),
    "german": ("Die Äpfel lagen vor den Häusern an der Hauptstraße.", ("apfel", "ÄPFEL", "Haus", "hauptstrasse", "Aepfel")),
    "french": ("Les étudiants buvaient du café noir près du cœur de la ville.", ("cafe", "ÉTUDIANT", "etudiants", "coeur")),
    "spanish": ("Mañana los niños comerán piñas en el jardín.", ("manana", "niño", "piña", "jardin")),
    "portuguese": ("As crianças gostam de pão com maçãs.", ("criança", "maca", "PÃO")),
    "italian": ("La città è piena di biciclette rosse.", ("citta", "bicicletta")),
    "dutch": ("De fietsen van mijn broers staan buiten.", ("fiets", "broer")),
    "swedish": ("Flickorna åkte båt på sjön.", ("flicka", "bat", "SJÖN")),
    "polish": ("Książki leżą na łóżku mojej siostry.", ("książka", "lozku", "siostra")),
    "czech": ("Děti si přály červené knihy.", ("kniha", "cervene")),
    "turkish": ("İstanbul'da evlerimizde çay içiyoruz.", ("istanbul", "ISTANBUL", "çay", "ev")),
    "vietnamese": ("Tôi thích uống cà phê sữa đá.", ("ca phe", "phê", "UONG")),
    "russian": ("Маша купила новые книги в Москве, и это был её день.", ("книга", "МОСКВА", "ее")),
    "ukrainian": ("Моя сестра їде до Києва поїздом.", ("сестра", "київ поїзд", "поїздом")),
    "greek": ("Η Μαρία διαβάζει τα βιβλία της στη θάλασσα.", ("βιβλιο μαρια", "ΘΑΛΑΣΣΑ", "μαρία")),
    "armenian": ("Երեխաները խաղում են այգում։", ("երեխա այգում", "խաղում")),
    "georgian": ("ბავშვები ბაღში თამაშობენ.", ("ბავშვები", "თამაშობენ")),
    "hebrew": ("הילדים משחקים בבית הגדול.", ("ילדים", "בית", "גדול")),
    "arabic": ("مرحبا بالعالم، قرأت الكِتابَ في المدرسة.", ("العالم", "الكتاب", "مدرسة", "والمدرسة")),
    "persian": ("من کتاب‌ها را در کتابخانه می‌خوانم.", ("کتاب", "کتابها", "كتابخانه")),
    "hindi": ("बच्चों ने लाल किताबें पढ़ीं।", ("किताब", "बच्चों", "लाल")),
    "bengali": ("আমি বাংলায় গান গাই।", ("গান", "বাংলায়")),
    "tamil": ("நான் புத்தகங்கள் படிக்கிறேன்.", ("புத்தகம்", "படிக்கிறேன்")),
    "chinese": ("我每天早上喝绿茶。", ("绿茶", "早上", "茶")),
    "traditional chinese": ("她在臺北學習音樂。", ("音樂", "臺北")),
    "japanese": ("東京でラーメンを食べました。", ("東京でラーメン", "ラーメン", "ﾗｰﾒﾝ", "食べる")),
    "korean": ("저는 학교에서 한국어를 배웁니다.", ("한국어", "한국어는", "학교")),
    "thai": ("ฉันชอบกินข้าวผัดกับไข่ดาว", ("ข้าว", "ข้าวผัด", "ไข่")),
    "lao": ("ຂ້ອຍມັກກິນເຂົ້າໜຽວ", ("ເຂົ້າ", "ເຂົ້າໜຽວ")),
    "khmer": ("ខ្ញុំចូលចិត្តញ៉ាំបាយ", ("បាយ", "ចូលចិត្ត")),
    "burmese": ("ကျွန်တော် ထမင်းစားတယ်", ("ထမင်း", "ကျွန်တော်")),
    "georgian cases": ("ნინო თბილისში ცხოვრობს.", ("თბილისი", "ᲜᲘᲜᲝ")),
    "amharic": ("ልጆቹ በትምህርት ቤት ውስጥ ይጫወታሉ።", ("ልጆች", "ትምህርት ቤት", "በትምህርት")),
    "telugu": ("నేను హైదరాబాద్‌లో ఉంటాను.", ("హైదరాబాద్", "నేను")),
    "khmer places": ("ខ្ញុំរស់នៅភ្នំពេញ។", ("ភ្នំពេញ",)),
    "japanese verbs": ("妹は大阪で魚を売っています。", ("売る", "売ります", "大阪")),
    "symbols": ("Great party 🎉👍🏽 for 🇩🇪, only €5 or 7 ★!", ("🎉", "👍", "🇩🇪", "€", "★")),
    "names of things": ("He writes C++ and Node.js v2.0 beside C#.", ("c++", "node.js", "NODE.JS", "v2.0", "V2.0", "C#")),
    "addresses": (
        "Mail ann.lee@example.com, call +49-170-555, pay 1,250.50.",
        ("ann.lee@example.com", "1250.50", "1,250.50", "170"),
    ),
    "telephone": (
        "Ring +1 (415) 555-2671, or 030/7654321 in Berlin.",
        ("+14155552671", "4155552671", "415.555.2671", "5552671", "+49 30 7654321"),
    ),
    "mixed": ("The Straßenbahn to 東京 costs пять рублей.", ("STRASSENBAHN", "straßenbahn 東京", "рубль", "cost")),
    "invisible": ("\u202bfoot\u00adball\u202c and ｆｕｌｌ\u200bwidth \ufb01sh", ("football", "fullwidth", "fish")),
}
"""For each script a sentence, and words that find it."""


class ManyLanguages:
    """The words of all languages are found. A part of `ArchiveConformance`."""

    def test_a_word_is_found_in_every_case_form_and_accent(self, archive: Archive) -> None:
        archive.write([Put(_record(name, n + 1, text)) for n, (name, (text, _)) in enumerate(SENTENCES.items())])
        for language, (_, questions) in SENTENCES.items():
            for question in questions:
                words, languages = question_of(question)
                found = [hit.record.key for hit in archive.search(SearchQuery(words, languages=languages))]
                assert found, f"{question} finds nothing"
                assert found[0] == language, f"{question} finds {found}"

    def test_words_in_no_memory_find_nothing(self, archive: Archive) -> None:
        archive.write([Put(_record(name, n + 1, text)) for n, (name, (text, _)) in enumerate(SENTENCES.items())])
        for question in (
            "京都",
            "红茶店",
            "zebra",
            "зебра",
            "🦓",
            "c--",
            "java.js",
            "v3.1",
            "כלב",
            "호랑이",
            "ปลาหมึก",
            "βροχή",
            "ann@example.org",
        ):
            words, languages = question_of(question)
            hits = archive.search(SearchQuery(words, languages=languages))
            assert not [hit for hit in hits if hit.coverage > 0.5], question

    def test_all_archives_find_the_same_in_the_same_order(self, archive: Archive) -> None:
        texts = [f"{text} {other}" for text, _ in SENTENCES.values() for other, _ in list(SENTENCES.values())[:5]]
        archive.write([Put(_record(f"k{n:03}", n + 1, text)) for n, text in enumerate(texts)])
        reference = InProcessArchive()
        reference.write([Put(_record(f"k{n:03}", n + 1, text)) for n, text in enumerate(texts)])
        for question in (
            "the children at the house",
            "東京 café",
            "книга для сестры",
            "한국어 and 🎉",
            "العالم",
            "red C++ cakes",
        ):
            words, languages = question_of(question)
            query = SearchQuery(words, languages=languages, limit=10)
            expected = [(hit.record.key, round(hit.score, 6), round(hit.coverage, 6)) for hit in reference.search(query)]
            assert expected
            assert [
                (hit.record.key, round(hit.score, 6), round(hit.coverage, 6)) for hit in archive.search(query)
            ] == expected, question


def _record(key: str, version: int, text: str) -> MemoryRecord:
    return MemoryRecord(id=key, key=key, version=version, value=b"\xc0", text=text)
