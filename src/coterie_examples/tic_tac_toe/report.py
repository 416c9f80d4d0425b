"""The page of a report about games."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jinja2

from coterie.meetings import read_minutes
from coterie.meetings.minutes import markdown
from coterie_examples.tic_tac_toe.playing import Game
from coterie_examples.tic_tac_toe.run import surprises_of
from coterie_examples.tic_tac_toe.scenario import GameScenario

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ scenario.name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { margin-bottom: 0; } h2 { margin: 0 0 .5rem; font-size: 1.1rem; } h2 span { color: #666; font-weight: normal; } code, pre { font-size: 13px; overflow-wrap: anywhere; white-space: pre-wrap; }
.games { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; align-items: start; }
.game { border: 1px solid #ddd; border-radius: .4rem; padding: 1rem; } .game p, .game details { margin: .5rem 0 0; font-size: 13px; }
svg { width: 8rem; display: block; } .x { fill: #1f6f8b; } .o { fill: #c8553d; } .surprise { color: #b00; }
</style>
</head>
<body>
<h1>{{ scenario.name }}</h1>
<p>{{ scenario.description }}</p>
<p>{{ games|length }} games · seed {{ scenario.seed }} · digest <code>{{ digest }}</code></p>
{% for surprise in surprises %}<p class="surprise"><strong>Not as expected:</strong> {{ surprise }}</p>{% endfor %}
<div class="games">
{% for game in games %}<section class="game"><h2>{{ game.name }} <span>{{ game.result }}</span></h2>
<svg viewBox="0 0 36 36" role="img" aria-label="{{ game.result }}"><path d="M12 1v34M24 1v34M1 12h34M1 24h34" stroke="#bbb" fill="none"/>
{% for x, y, mark, number in game.cells %}<text x="{{ x }}" y="{{ y + 3.2 }}" class="{{ mark|lower }}" font-size="8"
 text-anchor="middle">{{ mark }}</text><text x="{{ x - 5 }}" y="{{ y - 2.6 }}" font-size="2.8" fill="#888">{{ number }}</text>
{% endfor %}</svg>
{% for player, move, reason in game.refused %}<p>Refused: {{ player }} tried {{ move }}, but {{ reason }}.</p>{% endfor %}
{% if game.minutes %}<details><summary>Minutes</summary><pre>{{ game.minutes }}</pre></details>{% endif %}
</section>
{% endfor %}</div>
</body>
</html>
"""


def page_of_games(scenario: GameScenario, played: Sequence[Game], digest: str, minutes: Path) -> str:
    """Return the report of a run of games: one self-contained HTML page."""
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
                (6 + 12 * (cell % 3), 6 + 12 * (cell // 3), "XO"[place % 2], place + 1) for place, cell in enumerate(game.moves)
            ],
        }
        for game in played
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_PAGE).render(scenario=scenario, surprises=surprises_of(played), digest=digest, games=games)
