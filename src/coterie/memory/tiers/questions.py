"""The checked arguments of lists and searches."""

from __future__ import annotations

from typing import Any

from coterie.memory.checking import check_agents, check_count, check_kinds, check_question, check_time
from coterie.memory.contract import RecordFilter, SearchQuery
from coterie.memory.fields import check_where
from coterie.memory.text.analysis import question_of


def filter_of(agent: Any, kinds: Any, after: Any, before: Any, where: Any = None) -> RecordFilter:
    """Return the filter for the memories to list. Raises `InvalidMemory`."""
    return RecordFilter(
        agents=check_agents(agent),
        kinds=check_kinds(kinds),
        after=check_time("after", after),
        before=check_time("before", before),
        where=check_where(where),
    )


def query_of(question: Any, limit: Any, which: RecordFilter) -> SearchQuery:
    """Return the query of a question. Raises `InvalidMemory`."""
    words, languages = question_of(check_question(question))
    return SearchQuery(
        words=words,
        languages=languages,
        limit=check_count("limit", limit),
        agents=which.agents,
        kinds=which.kinds,
        after=which.after,
        before=which.before,
        where=which.where,
    )
