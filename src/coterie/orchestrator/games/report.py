"""The page of a report about games."""

from __future__ import annotations

from pathlib import Path

import jinja2

from coterie.meetings import read_minutes
from coterie.meetings.transcript import markdown
from coterie.orchestrator.games.run import GamesOutcome
from coterie.orchestrator.games.scenario import GameScenario

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ scenario.name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { margin-bottom: 0; } h2 { margin-top: 2rem; } code, pre { font-size: 13px; overflow-wrap: anywhere; white-space: pre-wrap; }
svg { width: 8rem; } .surprise { color: #b00; }
</style>
</head>
<body>
<h1>{{ scenario.name }}</h1>
<p>{{ scenario.description }}</p>
<p>{{ outcome.games|length }} games · seed {{ scenario.seed }} · digest <code>{{ outcome.digest }}</code></p>
{% for surprise in outcome.surprises %}<p class="surprise"><strong>Not as expected:</strong> {{ surprise }}</p>{% endfor %}
{% for game in games %}<h2>{{ game.name }}: {{ game.result }}</h2>
<svg viewBox="0 0 30 30" role="img"><path d="M10 1v28M20 1v28M1 10h28M1 20h28" stroke="#888" fill="none"/>
{% for x, y, mark, number in game.cells %}<text x="{{ x }}" y="{{ y }}" font-size="7" text-anchor="middle">{{ mark }}</text>
<text x="{{ x + 3.6 }}" y="{{ y + 2 }}" font-size="2.6" fill="#888">{{ number }}</text>{% endfor %}</svg>
{% for player, move, reason in game.refused %}<p>Refused: {{ player }} tried {{ move }}, but {{ reason }}.</p>{% endfor %}
{% if game.minutes %}<details><summary>Minutes</summary><pre>{{ game.minutes }}</pre></details>{% endif %}
{% endfor %}
</body>
</html>
"""


def page_of_games(scenario: GameScenario, outcome: GamesOutcome, minutes: Path) -> str:
    """Return the report of a run of games: one HTML page that needs nothing beside it."""
    texts = {}
    for path in sorted(minutes.glob("*.jsonl")):
        entries = read_minutes(path)
        topic = getattr(entries[0].event, "topic", path.stem) if entries else path.stem
        texts[topic] = markdown(path.stem, topic, entries)
    games = [
        {
            "name": game.name,
            "result": game.result + (f" ({game.reason})" if game.reason else ""),
            "refused": game.refused,
            "minutes": texts.get(game.name, ""),
            "cells": [
                (5 + 10 * (cell % 3), 7.5 + 10 * (cell // 3), "XO"[place % 2], place + 1)
                for place, cell in enumerate(game.moves)
            ],
        }
        for game in outcome.games
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_PAGE).render(scenario=scenario, outcome=outcome, games=games)
