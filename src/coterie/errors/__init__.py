"""Every error that Coterie raises, under one root.

Each error is built from the objects it is about and words itself: what happened, where, and what to do next.

::

    CoterieError
    ├── DefinitionError (TypeError)       a class is declared wrongly; raised where it is defined
    ├── InvalidSetting (ValueError)       an option has a value that makes no sense
    ├── InvalidMessage (TypeError)        what was sent is not a message
    ├── InvalidAddress (ValueError)       what should be an address is not
    ├── CodecError
    │   ├── EncodeFailed                  a value has no form on the wire
    │   └── DecodeFailed                  bytes, or their type, make no sense here
    ├── SpawnError
    │   ├── NameTaken                     a living agent has that name
    │   └── StartFailed                   the agent's constructor raised
    ├── NotInAgent                        something that only a running agent has was asked for outside
    ├── ReentrantCall                     a signal handler or finalizer would wait for what it has interrupted
    ├── ServiceMissing (LookupError)      nothing of that type was provided
    ├── RestartsExhausted                 an agent failed more often than its supervision permits
    ├── SnapshotFailed                    an agent's snapshot or restore raised
    ├── WaitTimeout (TimeoutError)        `.result(timeout)` ran out; what was waited for goes on
    ├── TransportError                    a transport cannot carry a frame
    ├── RemoteError                       an error of another process, as text; only ever a cause
    ├── ScenarioError (ValueError)        a scenario file does not make sense
    ├── RunFolderFailed                   the folder of a run cannot be written
    ├── RunUnknown (LookupError)          a folder is not that of a run
    ├── ServerFailed                      an address cannot be served on
    ├── StorageError                      a database did not do what was asked of it
    │   ├── WrongUrl (ValueError)         a text names no database that can be opened
    │   ├── StorageLocked                 another process has the file
    │   ├── StorageCorrupt                the file is damaged, or is no database
    │   ├── StorageFull                   there is no room on the disk
    │   ├── StorageUnavailable            the file or the server cannot be reached
    │   ├── StorageBusy                   there was no room, or no reader, in time
    │   ├── StorageClosed                 it was used after it was closed
    │   ├── StorageForked                 it was used in a child of the process that opened it
    │   ├── WriteInsideWrite              a write waits for another, which cannot come before it has ended
    │   ├── MigrationError                a schema cannot be brought to the version that is wanted
    │   └── StatementFailed               the database refused a statement
    │       └── ConstraintViolated        because what it stores would break a rule of the schema
    ├── ExtraMissing (ImportError)        an optional package is needed and not installed
    ├── MemoryFault                       something is wrong about a memory, or with where it is kept
    │   ├── InvalidMemory (ValueError)    a key, an importance or a time makes no sense
    │   ├── InvalidDump (ValueError)      a line of a file of memories is none, or from a later version
    │   ├── DumpUnavailable (OSError)     a file of memories cannot be read or written
    │   ├── MemoryClosed                  the store of memories has been closed
    │   │   └── MemoryForked              it was used in a child of the process that opened it
    │   ├── TierUnavailable               where a tier is kept cannot be reached now
    │   ├── WriteTimeout (TimeoutError)   a memory was not written, or not taken in, in time
    │   ├── UnknownMemory (LookupError)   the agent has no memory of that id
    │   ├── EmbeddingFailed               an embedder made no vectors
    │   └── NotShared (PermissionError)   an agent's memories were not shared with another
    ├── WorkError                         a job was not taken, or ended otherwise than its function did
    │   ├── WorkStopped                   the engine, or the action system, has been stopped
    │   │   └── WorkForked                it was made by the parent of this process
    │   ├── QueueFull                     a queue refused the job
    │   ├── JobTimeout (TimeoutError)     it took longer than it may
    │   ├── JobCancelled                  it was taken back
    │   ├── JobShed                       it gave up its place to one that is as urgent
    │   ├── JobExited                     its function raised what is meant to end the worker
    │   ├── JobRaised                     it raised, in a process, what cannot be sent from there
    │   ├── JobWaitCycle                  waiting for it would wait for oneself
    │   ├── NotSendable (TypeError)       what a process needs cannot be sent there
    │   ├── WorkerDied                    the process that ran it ended in the middle
    │   │   └── WorkerStartFailed         or before it could begin
    │   ├── CircuitOpen                   the action's target is left alone for a while
    │   ├── FeedbackFailed                the action was done, and its result could not be applied
    │   ├── KeyConflict (ValueError)      an idempotency key was used for something else
    │   └── UnknownAction (LookupError)   no dead action of that id is kept
    ├── ComponentError                    a request to a component was not done
    │   ├── UnknownComponent (LookupError)  there is no such component
    │   ├── MalformedRequest (ValueError)   the component cannot make sense of it
    │   └── ComponentDown                 it failed its checks, and could not be restarted
    ├── WorldError                        something is wrong about a world, or was to be done to it
    │   ├── InvalidValue (ValueError)     a key or a value cannot be part of a world
    │   ├── InvalidIntent (ValueError)    nor can that be committed
    │   ├── ResolverFailed                a resolver raised, or did not decide on each intent once
    │   ├── RuleFailed                    a validation rule raised, or returned no reason
    │   ├── UpdateRefused                 a validation rule refused an update
    │   ├── CommitInsideCommit            a resolver or a rule changes the world that it judges
    │   ├── WorldClosed                   it was used after it was closed
    │   ├── HistoryGone (LookupError)     a moment is not, or no longer, known
    │   ├── PatchRefused (KeyError)       a difference does not fit what it is applied to
    │   ├── LogDamaged                    an event log does not hold together
    │   ├── LogTaken                      another world has appended to the same log
    │   └── ResourcesExhausted            a declared limit of a resource has been reached
    ├── RoundsError                       something has gone wrong in a simulation
    │   ├── InvalidGraph (ValueError)     stages and edges make no graph that could be walked
    │   ├── TurnForfeited                 a turn was forfeited, and intends nothing more
    │   ├── StageFailed                   what is done together raised, or never returned
    │   ├── CheckpointRefused             an agent cannot be kept in a checkpoint
    │   ├── RestoreFailed                 an agent cannot be restored from a checkpoint
    │   ├── CheckpointMissing (LookupError)  there is none to go on from, or it does not fit
    │   └── ReplayDiverged                a replay came to something else than what was recorded
    ├── ModelError                        a language model did not answer
    │   ├── ModelUnavailable              its provider cannot be reached, or has a fault of its own
    │   ├── ModelTimeout (TimeoutError)   it took longer than it may
    │   ├── RateLimited                   it was asked too often
    │   ├── ModelRefused                  it will not answer this request
    │   │   ├── ContextTooLong            because the prompt is longer than its context
    │   │   └── KeyRefused                because the API key is not accepted
    │   ├── KeyMissing                    it needs an API key, and the environment holds none
    │   ├── MalformedReply                a reply came, and makes no sense
    │   ├── StreamBroken                  a stream ended in the middle of a reply
    │   └── ModelHalted                   none will answer any more, whoever asks
    │       ├── BudgetExhausted           a budget does not permit another request
    │       ├── RecordingMissing (LookupError)  a request was not recorded, so it cannot be replayed
    │       ├── RecordingDamaged          a file of recordings cannot be used
    │       ├── RecordingTaken            another gateway writes it
    │       ├── GatewayForked             the gateway was made by the parent of this process
    │       └── GatewayClosed             the gateway has been closed
    ├── ConversationError                 something is wrong about a conversation, or was to be done to it
    │   ├── ConversationClosed            it was used after it was closed
    │   ├── ConversationTaken             it has been opened elsewhere since
    │   ├── ConversationFailed            it has failed too often, and was given up
    │   ├── ConversationFull              too many of its messages wait for their answer
    │   ├── ConversationDamaged           what is kept of it cannot be read
    │   ├── InvalidText (ValueError)      what was to be said is no text, or cannot be kept
    │   ├── InvalidNamespace (ValueError)  what was given names no conversation
    │   ├── UnknownOperation (LookupError)  it has no operation of that id
    │   ├── TransitionRefused             an operation cannot go there, or not any more
    │   └── OperationStopped              told to a tool whose operation is to stop
    ├── PersonaError                      something is wrong about a persona
    │   ├── InvalidPersona (ValueError)   a persona's file, or what it says, makes no sense
    │   │   └── PersonaTooLarge           or it is too large to be one
    │   ├── FragmentConflict (ValueError) a fragment says otherwise than what it is merged into
    │   ├── PersonaUnknown (LookupError)  nobody of that name takes part
    │   ├── MindFailed                    a mind did not decide, and had nothing to fall back on
    │   ├── UnusableReply (ValueError)    what a model answered cannot be made sense of
    │   └── ExtractionFailed              no answer of the type could be made of what was said
    └── DeliveryError                     how an ask, or a tell, ends without being answered
        ├── HandlerFailed                 the handler raised; its error is the cause
        │   └── Unhandled                 the agent has no handler for the message's type
        ├── AskTimeout (TimeoutError)     the deadline of the ask has passed
        ├── AskCancelled                  the asker, or the runtime, took the ask back
        ├── AgentStopped                  the agent has stopped, or failed for good
        │   └── RuntimeStopped            so has its runtime
        ├── UnknownAgent (LookupError)    no such agent was ever known there
        ├── MailboxFull                   the mailbox refused the message
        ├── MeetingError                  a meeting did not take something, or is not held
        │   ├── MeetingNotHeld            its guests do not come
        │   │   ├── InvitationDeclined    one that is required said no
        │   │   ├── InvitationUnanswered  or did not answer in time
        │   │   ├── GuestUnreachable      or is unknown, or has stopped
        │   │   └── QuorumMissed          or fewer came than are needed
        │   ├── MeetingClosed             it is over
        │   ├── NotAMember                only members are heard
        │   ├── NotYourTurn               the floor is somebody else's
        │   ├── ContributionRefused       it makes no sense there, or is for others to do
        │   ├── NoQuorum                  no majority of its members can be reached
        │   └── UnknownMeeting (LookupError)  there is none of that id
        └── WaitCycle                     waiting for this reply would wait for oneself

A `DeliveryError` that leaves a handler fails the message in hand and not the agent: that another agent is gone, slow
or broken is news, not a fault of the one who hears it.
"""

from __future__ import annotations

from coterie.errors.components import ComponentDown, ComponentError, MalformedRequest, UnknownComponent
from coterie.errors.conversation import (
    ConversationClosed,
    ConversationDamaged,
    ConversationError,
    ConversationFailed,
    ConversationFull,
    ConversationTaken,
    InvalidNamespace,
    InvalidText,
    OperationStopped,
    TransitionRefused,
    UnknownOperation,
)
from coterie.errors.definition import (
    CodecError,
    DecodeFailed,
    DefinitionError,
    EncodeFailed,
    InvalidAddress,
    InvalidMessage,
    InvalidSetting,
)
from coterie.errors.delivery import (
    AgentStopped,
    AskCancelled,
    AskTimeout,
    DeliveryError,
    HandlerFailed,
    MailboxFull,
    RuntimeStopped,
    Unhandled,
    UnknownAgent,
    WaitCycle,
)
from coterie.errors.general import (
    ExtraMissing,
    NameTaken,
    NotInAgent,
    ReentrantCall,
    RemoteError,
    RestartsExhausted,
    ServiceMissing,
    SnapshotFailed,
    SpawnError,
    StartFailed,
    TransportError,
    WaitTimeout,
    describe,
)
from coterie.errors.meetings import (
    ContributionRefused,
    GuestUnreachable,
    InvitationDeclined,
    InvitationUnanswered,
    MeetingClosed,
    MeetingError,
    MeetingNotHeld,
    NoQuorum,
    NotAMember,
    NotYourTurn,
    QuorumMissed,
    UnknownMeeting,
)
from coterie.errors.memory import (
    DumpUnavailable,
    EmbeddingFailed,
    InvalidDump,
    InvalidMemory,
    MemoryClosed,
    MemoryFault,
    MemoryForked,
    NotShared,
    TierUnavailable,
    UnknownMemory,
    WriteTimeout,
)
from coterie.errors.models import (
    BudgetExhausted,
    ContextTooLong,
    GatewayClosed,
    GatewayForked,
    KeyMissing,
    KeyRefused,
    MalformedReply,
    ModelError,
    ModelHalted,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
    RateLimited,
    RecordingDamaged,
    RecordingMissing,
    RecordingTaken,
    StreamBroken,
)
from coterie.errors.orchestrator import RunFolderFailed, RunUnknown, ScenarioError, ServerFailed
from coterie.errors.personas import (
    ExtractionFailed,
    FragmentConflict,
    InvalidPersona,
    MindFailed,
    PersonaError,
    PersonaTooLarge,
    PersonaUnknown,
    UnusableReply,
)
from coterie.errors.root import CoterieError
from coterie.errors.rounds import (
    CheckpointMissing,
    CheckpointRefused,
    InvalidGraph,
    ReplayDiverged,
    RestoreFailed,
    RoundsError,
    StageFailed,
    TurnForfeited,
)
from coterie.errors.storage import (
    ConstraintViolated,
    MigrationError,
    StatementFailed,
    StorageBusy,
    StorageClosed,
    StorageCorrupt,
    StorageError,
    StorageForked,
    StorageFull,
    StorageLocked,
    StorageUnavailable,
    WriteInsideWrite,
    WrongUrl,
)
from coterie.errors.work import (
    CircuitOpen,
    FeedbackFailed,
    JobCancelled,
    JobExited,
    JobRaised,
    JobShed,
    JobTimeout,
    JobWaitCycle,
    KeyConflict,
    NotSendable,
    QueueFull,
    UnknownAction,
    WorkerDied,
    WorkError,
    WorkerStartFailed,
    WorkForked,
    WorkStopped,
)
from coterie.errors.world import (
    CommitInsideCommit,
    HistoryGone,
    InvalidIntent,
    InvalidValue,
    LogDamaged,
    LogTaken,
    PatchRefused,
    ResolverFailed,
    ResourcesExhausted,
    RuleFailed,
    UpdateRefused,
    WorldClosed,
    WorldError,
)

# Packed, for the file is a list of names as it is.
# fmt: off
__all__ = [
    "AgentStopped", "AskCancelled", "AskTimeout", "BudgetExhausted", "CheckpointMissing", "CheckpointRefused",
    "CircuitOpen", "CodecError", "CommitInsideCommit", "ComponentDown", "ComponentError", "ConstraintViolated",
    "ContextTooLong", "ContributionRefused", "ConversationClosed", "ConversationDamaged", "ConversationError",
    "ConversationFailed", "ConversationFull", "ConversationTaken", "CoterieError", "DecodeFailed", "DefinitionError",
    "DeliveryError", "DumpUnavailable", "EmbeddingFailed", "EncodeFailed", "ExtraMissing", "ExtractionFailed",
    "FeedbackFailed", "FragmentConflict", "GatewayClosed", "GatewayForked", "GuestUnreachable", "HandlerFailed",
    "HistoryGone", "InvalidAddress", "InvalidDump", "InvalidGraph", "InvalidIntent", "InvalidMemory", "InvalidMessage",
    "InvalidNamespace", "InvalidPersona", "InvalidSetting", "InvalidText", "InvalidValue", "InvitationDeclined",
    "InvitationUnanswered", "JobCancelled", "JobExited", "JobRaised", "JobShed", "JobTimeout", "JobWaitCycle",
    "KeyConflict", "KeyMissing", "KeyRefused", "LogDamaged", "LogTaken", "MailboxFull", "MalformedReply",
    "MalformedRequest", "MeetingClosed", "MeetingError", "MeetingNotHeld", "MemoryClosed", "MemoryFault",
    "MemoryForked", "MigrationError", "MindFailed", "ModelError", "ModelHalted", "ModelRefused", "ModelTimeout",
    "ModelUnavailable", "NameTaken", "NoQuorum", "NotAMember", "NotInAgent", "NotSendable", "NotShared", "NotYourTurn",
    "OperationStopped", "PatchRefused", "PersonaError", "PersonaTooLarge", "PersonaUnknown", "QueueFull",
    "QuorumMissed", "RateLimited", "RecordingDamaged", "RecordingMissing", "RecordingTaken", "ReentrantCall",
    "RemoteError", "ReplayDiverged", "ResolverFailed", "ResourcesExhausted", "RestartsExhausted", "RestoreFailed",
    "RoundsError", "RuleFailed",
    "RunFolderFailed", "RunUnknown", "RuntimeStopped", "ScenarioError", "ServerFailed", "ServiceMissing",
    "SnapshotFailed", "SpawnError", "StageFailed", "StartFailed", "StatementFailed", "StorageBusy", "StorageClosed",
    "StorageCorrupt", "StorageError", "StorageForked", "StorageFull", "StorageLocked", "StorageUnavailable",
    "StreamBroken", "TierUnavailable", "TransitionRefused", "TransportError", "TurnForfeited", "Unhandled",
    "UnknownAction", "UnknownAgent", "UnknownComponent", "UnknownMeeting", "UnknownMemory", "UnknownOperation",
    "UnusableReply", "UpdateRefused", "WaitCycle", "WaitTimeout", "WorkError", "WorkForked", "WorkStopped",
    "WorkerDied", "WorkerStartFailed", "WorldClosed", "WorldError", "WriteInsideWrite", "WriteTimeout", "WrongUrl",
    "describe",
]
# fmt: on
