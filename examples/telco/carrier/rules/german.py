"""German for the rules: questions become English ones before they are understood, and answers become German after they are made.

So there is one set of rules. A sentence that no pattern knows stays as it is.
"""

from __future__ import annotations

import re

from ..records.beginning import ZONES

_COUNTRIES = {
    "Österreich": "Austria", "Frankreich": "France", "Deutschland": "Germany", "Griechenland": "Greece", "Irland": "Ireland",
    "Italien": "Italy", "Spanien": "Spain", "der Schweiz": "Switzerland", "die Schweiz": "Switzerland",
    "Schweiz": "Switzerland", "Türkei": "Turkey", "Kanada": "Canada", "Mexiko": "Mexico", "den USA": "United States",
    "die USA": "United States", "USA": "United States", "Amerika": "United States", "Australien": "Australia",
    "Brasilien": "Brazil", "Ägypten": "Egypt", "Indien": "India", "Südafrika": "South Africa",
}  # fmt: skip
_GERMAN = re.compile(
    r"\b(ich|mein\w*|mir|mich|ist|sind|was|wie|wieviel|welche\w*|das|der|die|den|ein\w*|und|bitte|nein|ja|nicht|kein\w*|für|"
    r"kündig\w*|rechnung\w*|vertrag\w*|tarif\w*|guthaben|hallo|guten|danke|tschüss|code lautet|meine nummer|abbrechen|"
    r"brich|abbrechen|es ab|storniere\w*|stopp?e?|fertig|weit|noch|kostet|pakete|pass nach|wechsle|zeig\w*|warne?|nach|abmelden|hilfe)\b",
    re.IGNORECASE,
)
_ENGLISH = re.compile(
    r"\b(the|my|is|are|what|how|which|please|yes|no|not|i|you|to|for|show|close|cancel|buy|me|it|hello|thanks|do|does|a|an)\b",
    re.IGNORECASE,
)
_REQUESTS: tuple[tuple[str, str], ...] = (
    # In this order: each is replaced in what the earlier ones have left.
    (r"^\W*(?:ja|jawohl|klar|gerne?|genau|einverstanden|natürlich|mach das|in ordnung|passt)\b", "yes"),
    (r"^\W*(?:nein|nee|lieber nicht|doch nicht|besser nicht|noch nicht|auf keinen fall)\b", "no"),
    (r"\b(?:es|das) hat nicht geklappt\b|\bnicht geklappt\b", "it did not work"),
    (r"\b(?:es|das) hat geklappt\b|\b(?:es|das) ist (?:erledigt|fertig|gekündigt)\b", "it is done"),
    (r"\b(?:versuch\w* (?:es|das)?\s*(?:noch ?(?:ein)?mal|erneut|wieder)|noch ?(?:ein)?mal(?: versuchen| bitte)?)\b", "try it again"),
    (r"\b(?:das |mein |der )?(?:code|kode) (?:lautet|ist|war)\b", "the code is"),
    (r"\bmeine (?:telefon|handy|ruf)?nummer (?:ist|lautet)\b", "my number is"),
    (r"\b(?:einloggen|anmelden|melde mich an|logg\w* mich ein)\b", "log in"),
    (r"\b(?:abmelden|ausloggen|melde mich ab)\b", "log out"),
    ((r"\b(?:wie weit (?:ist|bist|sind)\b.*|wie steht es\b.*|wie lange (?:noch|dauert)\b.*|ist (?:es|das|alles) (?:schon )?fertig|"
     r"(?:schon|bald) fertig|gibt es (?:etwas )?neues|was läuft\b.*)"), "how far is it"),
    (r"\b(?:kündig\w*|beende\w*|schließ\w*)\b(.*?)\b(?:vertrag\w*|anschluss|nummer)|\bvertrag\b(.*?)\b(?:kündigen|beenden)\b",
     "close my contract"),
    (r"\b(?:brich|breche?n?|stoppe?n?|storniere?n?|halte?)\b(.*?)\b(?:ab|an)?\b(?=.*\bkündigung\b).*", "cancel the closing"),
    (r"\b(?:brich|breche?n?|stoppe?n?|storniere?n?|halte?)\b(?=.*\b(?:kauf|pass)\b).*", "cancel the purchase"),
    (r"\b(?:brich|breche?n?|stoppe?n?|storniere?n?|halte?)\b(?=.*\b(?:wechsel|tarif|paket)\b).*", "cancel the change"),
    (r"\b(?:brich|breche?n?|stoppe?n?|storniere?n?|halte?)\b(?=.*\brechnung\b).*", "cancel the bill"),
    ((r"\b(?:brich|breche?n?|stoppe?n?|storniere?n?|halte?)\b\s*(?:es|das|die|den|alles)?(?:\s*(?:bitte|ab|an))*|"
     r"\b(?:abbrechen|stornieren|vergiss es)\b"), "cancel it"),
    (r"\b(?:die |der )?kündigung\b", "the contract"),
    (r"\brechnung(?:en)?\b|\bwas (?:habe|musste|muss) ich (?:be)?zahl\w*", "bill"),
    (r"\b(?:wie ?viel\w* (?:daten|datenvolumen|gb|internet)|datenstand|datenguthaben|datenvolumen|datenverbrauch|verbrauch)\b",
     "data balance"),
    (r"\bwarn\w*|\bsag mir bescheid, wenn\b|\b(?:daten)?warnung(?:en)?\b|\balarme?\b", "alert"),
    (r"\b(?:aus(?:schalten)?|abschalten|keine warnungen mehr)\b", "off"),
    (r"\b(?:kauf\w*|hol\w*|bestell\w*|buch\w*|brauche?|möchte|will|nehme)\b(.*?)\b(?:roaming-?)?pass\b", r"buy a pass \1"),
    (r"\b(?:wechsle?|wechseln|umstellen|stell\w* (?:mich )?um|ändere?|ändern|hochstufen)\b", "switch package"),
    (r"\b(?:empfiehl|empfehlen|empfehle|empfehlung|rat(?:e|en)? mir|welche[rs]? (?:tarif|paket) (?:passt|ist gut))\b", "recommend"),
    (r"\b(?:welche|was für) (?:tarife|pakete|angebote)\b|\b(?:tarife|pakete|angebote) gibt es\b", "what packages are there"),
    (r"\b(?:mein(?:en?)?|welchen) (?:tarif|paket|vertrag|guthaben)\b", "my package"),
    (r"\b(?:tarif|paket)\b", "package"),
    (r"\b(?:zusatzoptionen|zusatzoption|optionen|extras)\b", "add-ons"),
    (r"\bwas kostet (?:das )?(?:roaming|telefonieren|surfen|es)\b|\bich (?:reise|fahre|fliege|gehe)\b|\b(?:urlaub|reise)\b",
     "what does roaming cost travelling"),
    (r"\b(?:eine?|der|die|einer) woche\b|\b(?:7|sieben) tage?\b", "a week"),
    (r"\b(?:eine?n?|den) monat\b|\b(?:30|dreißig) tage?\b|\b(zwei|drei|vier) wochen\b", "a month"),
    (r"\b(\d+) tagen?\b", r"\1 days"),
    (r"\b(\d+) ?prozent\b", r"\1 percent"),
    (r"\b(\d+) ?(?:pfund)\b", r"\1 pounds"),
    (r"\bfür weniger als\b|\bfür unter\b|\bunter\b|\bhöchstens\b", "under"),
    (r"\bich (?:brauche|möchte|will)\b(?=.*\bgb\b)", "I need"),
    (r"\bwer bin ich\b|\bwelche nummer\b", "who am i"),
    (r"\b(?:was kannst du|hilfe)\b", "help"),
    (r"\b(?:danke\w*|vielen dank|super|prima)\b", "thanks"),
    (r"\b(?:tschüss|auf wiedersehen|ciao)\b", "bye"),
    (r"\b(?:hallo|guten (?:tag|morgen|abend)|moin|servus)\b", "hello"),
    (r"\bnach\b", "to"),
    (r"\bfür\b", "for"),
    (r"\bund\b", "and"),
    (r"\bvon\b", "of"),
)  # fmt: skip
_REQUEST_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), words) for pattern, words in _REQUESTS)


def is_german(text: str) -> bool | None:
    """Return whether a text is German; None if it does not tell, such as a number."""
    german, english = len(_GERMAN.findall(text)), len(_ENGLISH.findall(text))
    return None if german == english else german > english


def in_english(text: str) -> str:
    """Return the question of a customer in English words, as far as the rules need them."""
    for name, english in _COUNTRIES.items():
        text = re.sub(rf"\b{name}\b", english, text, flags=re.IGNORECASE)
    for pattern, words in _REQUEST_PATTERNS:
        text = pattern.sub(words, text)
    return text


_NAMES = {
    "the closing of your contract": "die Kündigung Ihres Vertrags",
    "the sending of the code": "der Versand des Codes",
    "the login": "die Anmeldung",
    "the change of your package": "der Wechsel Ihres Tarifs",
    "the purchase of your roaming pass": "der Kauf Ihres Roaming-Passes",
    "your billing summary": "Ihre Rechnungsübersicht",
    "your data alerts": "Ihre Datenwarnungen",
    "your data balance": "Ihr Datenstand",
    "the look at your package": "die Auskunft über Ihren Tarif",
    "the list of your add-ons": "die Liste Ihrer Zusatzoptionen",
}
_ANY = "(" + "|".join(f"[{name[0].upper()}{name[0]}]{re.escape(name[1:])}" for name in _NAMES) + ")"
_HELP = (
    "Ich gebe Auskunft über Tarife und Roaming, und, sobald Sie mit Ihrer Telefonnummer angemeldet sind, über Ihren Tarif, Ihre "
    "Daten, Zusatzoptionen und Rechnungen. Ich kann Datenwarnungen einstellen, Ihren Tarif wechseln, einen Roaming-Pass kaufen oder "
    "Ihren Vertrag kündigen."
)
QUESTIONS = {
    "For that I need to know who you are. What is your telephone number?": "Dafür muss ich wissen, wer Sie sind. Wie lautet Ihre Telefonnummer?",
    "What is your telephone number?": "Wie lautet Ihre Telefonnummer?",
    "Please tell me the 6 digits of the code.": "Bitte nennen Sie mir die 6 Ziffern des Codes.",
    "Which country are you asking about?": "Um welches Land geht es?",
    "Where are you going?": "Wohin reisen Sie?",
    "Which pass would you like?": "Welchen Pass möchten Sie?",
    "Which package would you like to move to: Starter 5, Everyday 20, Plus 60 or Max Unlimited?": (
        "In welchen Tarif möchten Sie wechseln: Starter 5, Everyday 20, Plus 60 oder Max Unlimited?"
    ),
    "When shall I tell you: at how many percent used, or with how many GB left?": (
        "Wann soll ich Bescheid geben: bei wie viel Prozent Verbrauch, oder bei wie vielen GB Rest?"
    ),
    "Do you know, or shall I try again?": "Wissen Sie es, oder soll ich es noch einmal versuchen?",
    "Was it done, was it not done, or shall I try again?": "Hat es geklappt, hat es nicht geklappt, oder soll ich es noch einmal versuchen?",
    "Which one shall I cancel?": "Welchen Vorgang soll ich abbrechen?",
    "Shall I go on?": "Soll ich fortfahren?",
}
"""The questions of the rules. Their answers are understood by the question before them, in either language."""
_ANSWERS: tuple[tuple[str, str], ...] = (
    *((re.escape(english), german) for english, german in QUESTIONS.items()),
    (r"I can tell you about packages and roaming, and, once.*?close your contract\.", _HELP),
    (r"Hello! This is the desk of the telephone company\.", "Guten Tag! Hier ist der Schalter der Telefongesellschaft."),
    (r"I did not understand that\.", "Das habe ich nicht verstanden."),
    (r"You are welcome\.", "Gern geschehen."),
    (r"Goodbye!", "Auf Wiedersehen!"),
    (r"All right\. Nothing has been done\.", "In Ordnung. Es wurde nichts getan."),
    (r"All right, I try it again, and tell you when it is done\.", "In Ordnung, ich versuche es noch einmal und sage Bescheid."),
    (r"All right\.", "In Ordnung."),
    (r"Thank you, I have noted that\.", "Danke, das habe ich vermerkt."),
    (r"You are logged out as soon as.*?to be safe\.", "Sie sind abgemeldet, sobald dieses Gespräch eine Stunde alt ist; schließen Sie sonst dieses Fenster."),
    (r"What can I do for you\?", "Was kann ich für Sie tun?"),
    (r"A code was sent to ([^.]*)\.|If .*? a code[^.]*\.", "Ein Code wurde als Textnachricht gesendet."),
    (r"Logged in as ([^,]+), the number that ends in (\d+)\.", r"Angemeldet als \1, Nummer mit der Endung \2."),
    (r"You are logged in with ([+\d]+)\.", r"Sie sind mit \1 angemeldet."),
    (r"You are not logged in\.", "Sie sind nicht angemeldet."),
    ((r"You are logged in with the number that ends in (\d+), so I cannot tell or change anything about the number that ends in (\d+)\. "
     r"To log in with it, tell me: my number is, and the number\."),
     (r"Sie sind mit der Nummer mit der Endung \1 angemeldet, deshalb kann ich zu der Nummer mit der Endung \2 nichts sagen und nichts "
     r"ändern. Um sich mit ihr anzumelden, sagen Sie: meine Nummer ist, und die Nummer.")),
    (r"These are our packages\.", "Das sind unsere Tarife."),
    (r"unlimited data", "unbegrenzte Daten"), (r"unlimited minutes", "unbegrenzte Minuten"), (r"(\d+) minutes", r"\1 Minuten"),
    (r"roaming: none included", "Roaming: nicht enthalten"), (r"roaming: Europe and North America, up to", "Roaming: Europa und Nordamerika, bis"),
    (r"roaming: Europe, up to", "Roaming: Europa, bis"), (r"(£[\d.]+) a month", r"\1 im Monat"),
    (r"contract of (\d+) months?", r"Laufzeit \1 Monate"),
    (r"For (.*?) I recommend ", r"Für \1 empfehle ich "), (r"no particular wish", "keinen besonderen Wunsch"),
    (r"nothing meets (.*?); this comes nearest", r"\1 gibt es nichts Passendes, am nächsten kommt; dafür"), (r", or (?=\w+ \w+: )", ", oder "),
    (r"(\w[\w ]*) is in zone (\w[\w ]*)\. Without a pass, data costs (£[\d.]+) for each GB\.", r"\1 gehört zur Zone \2. Ohne Pass kosten Daten \3 je GB."),
    (r"Passes: ", "Pässe: "), (r"(\d+) GB for (\d+) days", r"\1 GB für \2 Tage"),
    (r"You have (.*?)\. Contract (\S+) runs until (\S+), and your credit is (-?£[\d.]+)\.", r"Sie haben \1. Vertrag \2 läuft bis \3, Ihr Guthaben ist \4."),
    (r"The contract is closed\.", "Der Vertrag ist gekündigt."),
    (r"Your data is unlimited, and have used ([\d.]+) GB this month\.", r"Ihre Daten sind unbegrenzt; verbraucht sind diesen Monat \1 GB."),
    (r"You have ([\d.]+) of ([\d.]+) GB left, and have used ([\d.]+) GB this month\.", r"Sie haben noch \1 von \2 GB; verbraucht sind diesen Monat \3 GB."),
    (r"Alert: none\.", "Warnung: keine."), (r"Alert: at (\d+) %", r"Warnung: bei \1 %"), (r"at ([\d.]+) GB left", r"bei \1 GB Rest"),
    (r"Your add-ons: none\.", "Ihre Zusatzoptionen: keine."), (r"Your add-ons: ", "Ihre Zusatzoptionen: "),
    (r"To be had: no others\.", "Weitere gibt es nicht."), (r"To be had: ", "Erhältlich: "),
    (r"Your bills: ", "Ihre Rechnungen: "), (r"The latest has ", "Die neueste enthält "),
    (r"The highest was that of (\S+)\.", r"Die höchste war die von \1."), (r"Your credit is (-?£[\d.]+)\.", r"Ihr Guthaben ist \1."),
    (rf"{_ANY} is under way\.", r"@\1@ läuft."), (rf"{_ANY} waits for its turn, at place (\d+) of (\d+)\.", r"@\1@ wartet, an Stelle \2 von \3."),
    (rf"{_ANY} waits for its turn\.", r"@\1@ wartet."), (rf"{_ANY} is (\d+) % done(?:, ([^.]+))?\.", r"@\1@ ist zu \2 % erledigt."),
    (rf"{_ANY} is done\.", r"@\1@ ist erledigt."), (rf"{_ANY} took too long and was given up\.", r"@\1@ hat zu lange gedauert und wurde aufgegeben."),
    (rf"{_ANY} was cancelled before anything was done\.", r"@\1@ wurde abgebrochen, bevor etwas getan war."),
    (rf"{_ANY} was cancelled, and what had been done was undone\.", r"@\1@ wurde abgebrochen, und was getan war, ist rückgängig gemacht."),
    (rf"{_ANY} was interrupted, and I do not know whether it was done\.", r"@\1@ wurde unterbrochen, und ich weiß nicht, ob es noch geklappt hat."),
    (rf"{_ANY} is not under way, so there is nothing to cancel\.", r"@\1@ läuft nicht, es gibt also nichts abzubrechen."),
    (rf"{_ANY} is changing that just now\. Ask me again when it is done\.", r"@\1@ ändert das gerade. Fragen Sie danach noch einmal."),
    (rf"{_ANY} was not done: ", r"@\1@ hat nicht geklappt: "),
    (r"Our service was restarted; ask me again if you still want it\.", "Unser Dienst wurde neu gestartet; sagen Sie es noch einmal, wenn Sie es noch wünschen."),
    (r"It usually takes about (\d+(?:\.\d)?) s(?: in all)?\.", r"Das dauert meist etwa \1 s."),
    (r"I will tell you when it is done; until then, ask me whatever you like\.", "Ich sage Bescheid, wenn es fertig ist; fragen Sie bis dahin, was Sie mögen."),
    (r"It is cancelled\. Nothing has been done\.", "Das ist abgebrochen. Es wurde nichts getan."),
    (r"It is cancelled, and whatever it had begun is undone\.", "Das ist abgebrochen, und was begonnen war, wird rückgängig gemacht."),
    (r"It is too late for that\.", "Dafür ist es zu spät."),
    (r"Nothing is under way now\. The last: ", "Jetzt läuft nichts. Zuletzt: "), (r"There is nothing under way\.", "Es läuft nichts."),
    (r"Too much is under way already\.[^.]*\.", "Es läuft schon zu viel. Warten Sie, bis etwas fertig ist, oder brechen Sie etwas ab."),
    (r"Something else is under way\. Ask me again when it is done\.", "Es läuft gerade etwas anderes. Fragen Sie danach noch einmal."),
    (r"I know of nothing like that which is under way\.", "So etwas läuft nicht."),
    (r"Please tell me the code again\.", "Bitte nennen Sie mir den Code noch einmal."),
    (r"I did not understand all of that\. Please say it again, with all details\.", "Das habe ich nicht ganz verstanden. Bitte sagen Sie es noch einmal, mit allen Angaben."),
    (r"I am sorry, that is not possible just now\.", "Es tut mir leid, das geht gerade nicht."), (r"I am sorry: ", "Es tut mir leid: "),
    (r"that is not the code that was sent; ask for it again", "das ist nicht der gesendete Code"),
    (r"\((\d+) more tries\)", r"(noch \1 Versuche)"), (r"\(1 more try\)", "(noch 1 Versuch)"), (r"\(no more tries; send a new code\)", "(kein Versuch mehr; verlangen Sie einen neuen Code)"),
    (r"we do not know '([^']*)'; did you mean ([^?]*)\?", r"wir kennen „\1“ nicht; meinten Sie \2?"), (r"we do not know '([^']*)'; there are", r"wir kennen „\1“ nicht; es gibt"),
    (r"contract (\S+) is closed already; there is nothing left to change in it", r"Vertrag \1 ist schon gekündigt; daran ist nichts mehr zu ändern"),
    (r"the package is (.*?) already; choose another", r"der Tarif ist schon \1; wählen Sie einen anderen"),
    (r"Contract (\S+) of the number that ends in (\d+) would be closed for good, and the number given up\.",
     r"Vertrag \1 der Nummer mit der Endung \2 würde endgültig gekündigt und die Nummer aufgegeben."),
    (r"It runs until (\S+), so ending it now costs (£[\d.]+)\.", r"Er läuft bis \1, deshalb kostet das Ende jetzt \2."),
    (r"It can be ended without a fee\.", "Er kann ohne Gebühr enden."),
    (r"(.*?) \((£[\d.]+) im Monat\) would become (.*?) \((£[\d.]+) im Monat\), with a new Laufzeit (\d+) Monate\.", r"Aus \1 (\2 im Monat) würde \3 (\4 im Monat), mit einer neuen Laufzeit von \5 Monaten."),
    (r"with a new Laufzeit (\d+) Monate", r"mit einer neuen Laufzeit von \1 Monaten"), (r" would become ", " würde zu "),
    (r"(.*?), (\d+) GB für (\d+) Tage in (\w[\w ]*), would cost (£[\d.]+), from the credit or on the next bill, and is not paid back once it is used\.",
     r"\1, \2 GB für \3 Tage in der Zone \4, würde \5 kosten, vom Guthaben oder auf der nächsten Rechnung, und wird nach der Nutzung nicht erstattet."),
    (r"Contract (\S+) is closed\b", r"Vertrag \1 ist gekündigt"),
    (r"The package is (.*?) now, at (£[\d.]+) im Monat until (\S+)\.", r"Der Tarif ist jetzt \1, für \2 im Monat bis \3."),
    (r"(\w[\w ]*) is active until (\S+): (\d+) GB\. (£[\d.]+) was taken from the credit\.", r"\1 gilt bis \2: \3 GB. \4 wurden vom Guthaben genommen."),
    (r"(£[\d.]+) (?:is|comes|will be) on the next bill\.", r"\1 kommen auf die nächste Rechnung."),
    (r"You are told when (\d+) % of the data is used\.", r"Sie hören von uns, wenn \1 % der Daten verbraucht sind."),
    (r"You are told when ([\d.]+) GB are left\.", r"Sie hören von uns, wenn noch \1 GB übrig sind."),
    (r"There are no data alerts any more\.", "Es gibt keine Datenwarnungen mehr."),
    (r"It is good for (\d+) (?:minutes|Minuten)\.", r"Er gilt \1 Minuten."),
    (r"The final bill is (£[\d.]+)\.", r"Die Schlussrechnung beträgt \1."),
    ("checking the balance", "prüfe das Guthaben"),
    ("looking up the contract", "suche den Vertrag"),
    ("releasing the number", "gebe die Nummer frei"),
    ("making the final bill", "stelle die Schlussrechnung"),
    ("closing the contract", "schließe den Vertrag"),
    ("checking the new package", "prüfe den neuen Tarif"),
    ("ending the old package", "beende den alten Tarif"),
    ("setting up the network", "richte das Netz ein"),
    ("writing the new contract", "schreibe den neuen Vertrag"),
    ("switching over", "schalte um"),
    ("checking the destination", "prüfe das Ziel"),
    ("taking the payment", "ziehe den Betrag ein"),
    ("telling the networks abroad", "benachrichtige die Netze im Ausland"),
    ("activating the pass", "schalte den Pass frei"),
    ("asking the billing system", "frage die Abrechnung"),
    ("asking the usage records", "frage die Verbrauchsdaten"),
    ("putting it together", "stelle alles zusammen"),
)  # fmt: skip
_ANSWER_PATTERNS = tuple((re.compile(pattern, re.DOTALL), words) for pattern, words in _ANSWERS)
_NAMED = re.compile("@([^@]*)@")
_ALIASES = {english: german for german, english in _COUNTRIES.items() if " " not in german and german not in ("USA", "Amerika")}


def in_german(text: str) -> str:
    """Return an answer of the rules in German."""
    for pattern, words in _ANSWER_PATTERNS:
        text = pattern.sub(words, text)
    text = _NAMED.sub(lambda found: _name(found[1]), text)
    for english, german in _NAMES.items():
        text = text.replace(english, german)
    for place in (each for places in ZONES.values() for each in places):
        if place in _ALIASES:
            text = re.sub(rf"\b{place}\b", _ALIASES[place], text)
    return text


def _name(english: str) -> str:
    german = _NAMES[english[0].lower() + english[1:]]
    return german[0].upper() + german[1:]


def question_in_english(text: str) -> str:
    """Return a text that the rules have said, with its German questions in English, so that an answer to it is understood."""
    for english, german in sorted(QUESTIONS.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(german, english)
    return text
