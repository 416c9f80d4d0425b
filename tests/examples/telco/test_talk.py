"""Talks with the rules, from the first word to the last: what is asked back, remembered, and understood from what went before."""

import asyncio
from pathlib import Path

import pytest
from examples.telco.carrier.company import Company
from examples.telco.carrier.rules.answering import answer
from examples.telco.carrier.tools import tools

from coterie.conversation import Conversations
from coterie.kernel import SystemClock
from coterie.models import RuleModel

LOG_IN = [("07700 900101", "6 digits of the code"), ("482913", "")]
TALKS = {
    "in German, from the login to the closing": [
        ("Hallo", "Guten Tag! Hier ist der Schalter der Telefongesellschaft."),
        ("Kündige bitte meinen Vertrag", "Wie lautet Ihre Telefonnummer?"),
        ("07700 900101", "die 6 Ziffern des Codes"),
        ("482913", "würde endgültig gekündigt und die Nummer aufgegeben"),
        ("ja bitte", "Die Kündigung Ihres Vertrags läuft."),
        ("Wie weit ist es?", "Die Kündigung Ihres Vertrags ist zu 10 % erledigt"),
        ("Was kostet Roaming in Spanien?", "Spanien gehört zur Zone Europe. Ohne Pass kosten Daten £5.00 je GB."),
        (
            "Zeig mir die Rechnung von 07700 900102",
            "mit der Endung 01 angemeldet, deshalb kann ich zu der Nummer mit der Endung 02",
        ),
        ("Brich es ab", "Das ist abgebrochen. Es wurde nichts getan."),
        ("thanks, and what is my package?", "You have Everyday 20"),
    ],
    "in German, a pass with all details one by one": [
        ("Ich möchte einen Roaming-Pass kaufen", "Wie lautet Ihre Telefonnummer?"),
        ("07700 900101", "Ziffern"),
        ("482913", "Wohin reisen Sie?"),
        ("Japan", "Welchen Pass möchten Sie?"),
        ("eine Woche", "würde £25.00 kosten"),
        ("nein", "Es wurde nichts getan."),
    ],
    "a login while something runs": [
        ("show my bill", "telephone number?"),
        ("07700 900101", "6 digits"),
        ("482913", "Your billing summary is under way"),
        ("my number is 07700 900102", "6 digits of the code"),
        ("482913", "Logged in as Bob Okafor"),
        ("what is my package?", "Starter 5"),
        ("how far is it?", "Your billing summary is 10 % done"),
    ],
    "a pass, with all details one by one": [
        ("buy a roaming pass", "What is your telephone number?"),
        *LOG_IN[:1],
        ("482913", "Where are you going?"),
        ("Japan", "Which pass would you like?"),
        ("a week", "World Week, 3 GB for 7 days in World, would cost £25.00"),
        ("yes please", "The purchase of your roaming pass is under way"),
        ("stop the closing", "The closing of your contract is not under way"),
        ("cancel it", "It is cancelled"),
    ],
    "a pass, wanted before the login": [
        ("buy a pass for Japan for a week", "telephone number?"),
        *LOG_IN[:1],
        ("482913", "World Week, 3 GB for 7 days in World, would cost £25.00"),
        ("no", "Nothing has been done."),
        ("yes", "All right."),
    ],
    "two operations, and one of them is cancelled": [
        ("show my bill", "telephone number?"),
        *LOG_IN[:1],
        ("482913", "Your billing summary is under way"),
        ("close my contract", "Shall I go on?"),
        ("yes", "The closing of your contract is under way"),
        ("how far is it?", "Your billing summary is 10 % done, asking the billing system."),
        ("how much data do I have left?", "Your data balance waits for its turn"),
        ("stop it", "Which one shall I cancel?"),
        ("the contract", "It is cancelled. Nothing has been done."),
        ("status?", "Your billing summary is 10 % done"),
        ("what does roaming in Spain cost?", "Spain is in zone Europe"),
    ],
    "a change that needs a question": [
        ("change my package", "telephone number?"),
        *LOG_IN[:1],
        ("482913", "Which package would you like to move to"),
        ("max", "Everyday 20 (£15.00 a month) would become Max Unlimited"),
        ("what packages are there?", "These are our packages."),
        ("switch me to max", "Shall I go on?"),
        ("ok", "The change of your package is under way"),
    ],
    "a wrong code, and another": [
        ("what is my package?", "telephone number?"),
        *LOG_IN[:1],
        ("000000", "that is not the code that was sent"),
        ("482913", "You have Everyday 20"),
        ("warn me when I have used 70 %", "You are told when 70 % of the data is used."),
        ("set an alert", "at how many percent used"),
        ("switch the alerts off", "There are no data alerts any more."),
        ("my number is 07700 900102", "6 digits"),
        ("482913", "Logged in as Bob Okafor"),
        ("what is my package?", "Starter 5"),
    ],
    "the bill of another's number": [
        ("what is my package?", "telephone number?"),
        *LOG_IN[:1],
        ("482913", "You have Everyday 20"),
        ("show me the bill of 07700 900102", "You are logged in with the number that ends in 01, so I cannot tell or change"),
        ("what is the data balance of +447700900102?", "anything about the number that ends in 02"),
        ("show me the bill of 07700 900101", "Your billing summary is under way"),
    ],
    "a country that there is not": [
        ("what does roaming in Atlantis cost?", "we do not know 'Atlantis'"),
        ("and in Germny?", "Germany is in zone Europe"),
        ("I need 100 GB for less than £10", "nothing meets 100 GB and £10 a month"),
    ],
}


@pytest.mark.parametrize("name", TALKS)
def test_a_talk(tmp_path: Path, name: str) -> None:
    # Long enough that nothing ends by itself in between.
    scale = 100.0
    company = Company.open(
        tmp_path / "customers.db", clock=SystemClock(), send=lambda *_: None, time_scale=scale, fixed_code="482913"
    )

    async def talk(conversations: Conversations) -> None:
        chat = conversations.open(("talk", name))
        for said, expected in TALKS[name]:
            answered = await chat.send(said).answer()
            assert expected in answered, (said, answered)
        # The code of a login is kept nowhere: neither what was said, nor what was called, has it.
        assert all("482913" not in str(event) for event in [each async for each in chat.events(0, follow=False)])
        assert all("482913" not in line.text for line in chat.transcript())

    try:
        with Conversations(RuleModel(answer), tools(scale), store=tmp_path / "chats.db", provide=[company]) as conversations:
            asyncio.run(talk(conversations))
    finally:
        company.close()
