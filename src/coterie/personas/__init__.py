"""Personas: who an agent is, what comes to it, what it does about it, and what it is to the others.

A `Persona` is a file; a `PersonaAgent` is one on a runtime, with a mental state, memories, and a `Mind` that decides: by
rules, or by a language model. `Cast` puts several on a runtime and has them talk. Everything that is shared is immutable
or guards itself. Where memories are kept, how models are reached, and what a world makes of an action is others' business.
"""

from coterie.personas.agent.agent import PersonaAgent
from coterie.personas.agent.messages import (
    PERSONAS,
    Act,
    ChangeMind,
    Consolidate,
    FellBack,
    GetState,
    Keep,
    Line,
    Listen,
    Meet,
    Move,
    Perceive,
    Pursue,
    Recollect,
    See,
    Think,
    Transcript,
)
from coterie.personas.agent.outlets import Outlet
from coterie.personas.agent.rounds import hear, social_resolver, social_round, social_world
from coterie.personas.agent.standard import STANDARD
from coterie.personas.agent.state import Counts, EndReason, Episode, PersonaState
from coterie.personas.mind.actions import ActionKind, ActionSet, action
from coterie.personas.mind.contract import Decision, Mind, Situation
from coterie.personas.mind.falling_back import FallbackMind
from coterie.personas.mind.from_profile import answer_from_profile
from coterie.personas.mind.model import ModelMind
from coterie.personas.mind.rules import (
    Rule,
    RuleMind,
    act,
    all_of,
    feel,
    first_of,
    heard,
    one_of,
    perceived,
    reply,
    say,
    sometimes,
    when,
)
from coterie.personas.mind.state import Action, ActionRecord, MentalState, Outcome, Stimulus, StimulusKind, done, talk
from coterie.personas.profile.persona import Fragment, Persona
from coterie.personas.results.answers import Answer, AnswerTable, Row, answers_type, table_by_model, table_by_rules
from coterie.personas.results.focus_group import FocusGroup, Interviewer
from coterie.personas.results.questions import AnswerKind, Question
from coterie.personas.social.cast import Cast, load_personas
from coterie.personas.social.moderator import Converse, Moderator
from coterie.personas.social.reference import PersonaRef
from coterie.personas.social.relations import Relation, Relations, RelationsView
from coterie.personas.social.society import Society

__all__ = [
    "PERSONAS",
    "STANDARD",
    "Act",
    "Action",
    "ActionKind",
    "ActionRecord",
    "ActionSet",
    "Answer",
    "AnswerKind",
    "AnswerTable",
    "Cast",
    "ChangeMind",
    "Consolidate",
    "Converse",
    "Counts",
    "Decision",
    "EndReason",
    "Episode",
    "FallbackMind",
    "FellBack",
    "FocusGroup",
    "Fragment",
    "GetState",
    "Interviewer",
    "Keep",
    "Line",
    "Listen",
    "Meet",
    "MentalState",
    "Mind",
    "ModelMind",
    "Moderator",
    "Move",
    "Outcome",
    "Outlet",
    "Perceive",
    "Persona",
    "PersonaAgent",
    "PersonaRef",
    "PersonaState",
    "Pursue",
    "Question",
    "Recollect",
    "Relation",
    "Relations",
    "RelationsView",
    "Row",
    "Rule",
    "RuleMind",
    "See",
    "Situation",
    "Society",
    "Stimulus",
    "StimulusKind",
    "Think",
    "Transcript",
    "act",
    "action",
    "all_of",
    "answer_from_profile",
    "answers_type",
    "done",
    "feel",
    "first_of",
    "hear",
    "heard",
    "load_personas",
    "one_of",
    "perceived",
    "reply",
    "say",
    "social_resolver",
    "social_round",
    "social_world",
    "sometimes",
    "table_by_model",
    "table_by_rules",
    "talk",
    "when",
]
