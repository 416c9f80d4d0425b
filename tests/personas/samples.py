"""Personas of our own, in the format of the files and in its variants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

USUAL: dict[str, Any] = {
    "type": "TinyPerson",
    "persona": {
        "name": "Nora Lindqvist",
        "age": 41,
        "nationality": "Swedish",
        "residence": "Gothenburg, Sweden",
        "education": "Trained as a baker; evening courses in bookkeeping.",
        "long_term_goals": ["To open a second bakery.", "To see the northern lights once."],
        "occupation": {"title": "Baker", "organization": "her own", "description": "You bake bread from four in the morning."},
        "style": "Dry and short; warm once she knows you.",
        "personality": {"traits": ["You are patient."], "big_five": {"openness": "Medium.", "neuroticism": "Low."}},
        "preferences": {"interests": ["Sourdough"], "likes": ["Rain"], "dislikes": ["Waste"]},
        "skills": ["You can tell flour by its smell."],
        "beliefs": ["Bread should be cheap."],
        "behaviors": {"general": ["Hums while kneading."], "routines": {"morning": ["Wakes at 3:30."]}},
        "health": "Good, but for her wrists.",
        "relationships": [{"name": "Tomas", "description": "Your brother, who keeps the till."}],
        "other_facts": ["You grew up on an island."],
    },
}
VARIANT: dict[str, Any] = {
    "type": "TinyPerson",
    "mental_faculties": [],
    "current_episode_event_count": 3,
    "persona": {
        "name": "Ivo Petrov",
        "zodiac": {"sign": "crab", "believes_in_it": False},
        "age": 29.5,
        "education": {"degree": "none", "courses": ["welding"]},
        "style": {"tone": "loud", "quirks": ["laughs at his own jokes"]},
        "health": {"physical": {"general": "strong"}, "mental": None},
        "occupation": "Welder",
        "skills": [{"name": "welding", "level": 5}, "juggling", ["a", "b"]],
        "relationships": [{"role": "boss", "name": "Ada"}, "a dog", {"nobody": 1}],
        "behaviors": {},
        "": "an empty key",
        "ключ": "значение \u2028 \U0001f600",
        "big": 2**70,
        "zero": -0.0,
    },
}
FRAGMENT: dict[str, Any] = {
    "type": "Fragment",
    "persona": {
        "preferences": {"interests": ["Chess", "Sourdough"], "likes": ["Quiet rooms"]},
        "beliefs": ["A move once made is made."],
        "behaviors": {"chess": ["Plays both sides."]},
    },
}


def write(folder: Path, name: str, document: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path
