"""Personas: who an agent is, what comes to it, what it does about it, and what it is to the others.

A `Persona` is a file; a `PersonaAgent` is one on a runtime, with a mental state, memories, and a `Mind` that decides: by
rules, or by a language model. `Population` puts several on a runtime and has them talk. Everything that is shared is immutable
or guards itself. Where memories are kept, how models are reached, and what a world makes of an action is others' business.
"""

from coterie.personas.agent.agent import PersonaAgent
from coterie.personas.agent.channels import OutputChannel
from coterie.personas.agent.directory import PersonaDirectory
from coterie.personas.agent.messages import (
    PERSONAS,
    Act,
    ChangeMind,
    Consolidate,
    Dialogue,
    DialogueLine,
    FallbackUsed,
    GetState,
    Introduce,
    Listen,
    Move,
    Perceive,
    Recall,
    Remember,
    See,
    SetGoal,
    Think,
)
from coterie.personas.agent.relations import Relation, Relations, RelationsView
from coterie.personas.agent.rounds import hear, social_resolver, social_round, social_world
from coterie.personas.agent.standard_actions import STANDARD
from coterie.personas.agent.state import EndReason, Episode, PersonaCounts, PersonaState
from coterie.personas.answers import AnswerTable, SurveyAnswer, SurveyRow, answers_type, table_by_model, table_by_rules
from coterie.personas.focus_group import FocusGroup, Interviewer
from coterie.personas.mind.actions import ActionKind, ActionSet, action
from coterie.personas.mind.mind import Decision, FallbackMind, Mind, Situation
from coterie.personas.mind.model_mind import ModelMind
from coterie.personas.mind.profile_answers import answer_from_profile
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
from coterie.personas.mind.state import (
    ActionOutcome,
    ActionRecord,
    MentalState,
    PersonaAction,
    Stimulus,
    StimulusKind,
    done,
    talk,
)
from coterie.personas.moderator import Converse, Moderator
from coterie.personas.population import Population, load_personas
from coterie.personas.profile.persona import Fragment, Persona
from coterie.personas.questions import AnswerKind, Question
from coterie.personas.reference import PersonaRef

__all__ = [
    "PERSONAS",
    "STANDARD",
    "Act",
    "ActionKind",
    "ActionOutcome",
    "ActionRecord",
    "ActionSet",
    "AnswerKind",
    "AnswerTable",
    "ChangeMind",
    "Consolidate",
    "Converse",
    "Decision",
    "Dialogue",
    "DialogueLine",
    "EndReason",
    "Episode",
    "FallbackMind",
    "FallbackUsed",
    "FocusGroup",
    "Fragment",
    "GetState",
    "Interviewer",
    "Introduce",
    "Listen",
    "MentalState",
    "Mind",
    "ModelMind",
    "Moderator",
    "Move",
    "OutputChannel",
    "Perceive",
    "Persona",
    "PersonaAction",
    "PersonaAgent",
    "PersonaCounts",
    "PersonaDirectory",
    "PersonaRef",
    "PersonaState",
    "Population",
    "Question",
    "Recall",
    "Relation",
    "Relations",
    "RelationsView",
    "Remember",
    "Rule",
    "RuleMind",
    "See",
    "SetGoal",
    "Situation",
    "Stimulus",
    "StimulusKind",
    "SurveyAnswer",
    "SurveyRow",
    "Think",
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
