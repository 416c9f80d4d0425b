"""Personas: persona files, persona agents with minds and memories, and their relations.

A `Persona` is a file; a `PersonaAgent` is a persona on a runtime, with a mental state, memories, and a `Mind` that decides by
rules or by a language model. `Population` puts several on a runtime and runs their conversations. Shared values are immutable
or safe from any thread. `coterie.memory` stores memories, `coterie.models` asks models, and `coterie.world` resolves intents.
"""

from coterie.personas.agent.agent import PersonaAgent
from coterie.personas.agent.directory import PersonaDirectory, Relations
from coterie.personas.agent.messages import PERSONAS, Dialogue
from coterie.personas.agent.rounds import hear, social_resolver, social_round, social_world
from coterie.personas.agent.state import PersonaState
from coterie.personas.focus_group import FocusGroup
from coterie.personas.library import Citations, Library, Passage
from coterie.personas.mind.actions import ActionKind, action
from coterie.personas.mind.context import ActionContext
from coterie.personas.mind.mind import Decision, FallbackMind, Mind, Situation
from coterie.personas.mind.model_mind import ModelMind
from coterie.personas.mind.plausible import PlausibleMind
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
from coterie.personas.mind.state import MentalState, PersonaAction, Stimulus, StimulusKind, done, talk
from coterie.personas.population import Population, load_personas
from coterie.personas.profile.persona import Fragment, Persona
from coterie.personas.reference import PersonaRef
from coterie.personas.sampling.sampling import SampledPopulation, sample_population
from coterie.personas.sampling.specification import JointQuota, NumberDistribution, PopulationSpecification
from coterie.personas.sampling.weights import rake, weights_of
from coterie.personas.sampling.wording import PersonaWording, word_personas
from coterie.personas.studies.intervention import Intervention, InterventionRecord, Interventions
from coterie.personas.studies.proposition import Judgement, Proposition
from coterie.personas.studies.stories import save_record, story, tell_story
from coterie.personas.studies.study import Study
from coterie.personas.studies.validation import CheckedAnswer, PersonaValidation, validate_persona
from coterie.personas.survey import AnswerTable, Question, SurveyAnswer, table_by_model, table_by_rules
from coterie.personas.surveyor import Survey

__all__ = [
    "PERSONAS",
    "ActionContext",
    "ActionKind",
    "AnswerTable",
    "CheckedAnswer",
    "Citations",
    "Decision",
    "Dialogue",
    "FallbackMind",
    "FocusGroup",
    "Fragment",
    "Intervention",
    "InterventionRecord",
    "Interventions",
    "JointQuota",
    "Judgement",
    "Library",
    "MentalState",
    "Mind",
    "ModelMind",
    "NumberDistribution",
    "Passage",
    "Persona",
    "PersonaAction",
    "PersonaAgent",
    "PersonaDirectory",
    "PersonaRef",
    "PersonaState",
    "PersonaValidation",
    "PersonaWording",
    "PlausibleMind",
    "Population",
    "PopulationSpecification",
    "Proposition",
    "Question",
    "Relations",
    "Rule",
    "RuleMind",
    "SampledPopulation",
    "Situation",
    "Stimulus",
    "StimulusKind",
    "Study",
    "Survey",
    "SurveyAnswer",
    "act",
    "action",
    "all_of",
    "answer_from_profile",
    "done",
    "feel",
    "first_of",
    "hear",
    "heard",
    "load_personas",
    "one_of",
    "perceived",
    "rake",
    "reply",
    "sample_population",
    "save_record",
    "say",
    "social_resolver",
    "social_round",
    "social_world",
    "sometimes",
    "story",
    "table_by_model",
    "table_by_rules",
    "talk",
    "tell_story",
    "validate_persona",
    "weights_of",
    "when",
    "word_personas",
]
