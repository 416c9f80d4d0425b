"""All errors of Coterie, under one root.

Each error is built from the objects that it concerns; its text has the fault, the place and the remedy. This package
exports the errors that programs catch. The others are caught by the error above them, or imported from the module of
their room, such as `coterie.errors.storage`.

::

    CoterieError
    ├── DefinitionError (TypeError)       a class is declared wrongly; raised where it is defined
    ├── InvalidSetting (ValueError)       an option has an invalid value
    ├── InvalidMessage (TypeError)        a sent value is not a message
    ├── InvalidAddress (ValueError)       a text is not an address
    ├── CodecError
    │   ├── EncodeFailed                  a value has no form on the wire
    │   └── DecodeFailed                  bytes do not decode to the expected type
    ├── SpawnError
    │   ├── NameTaken                     a living agent has that name
    │   │   └── NameTakenInCluster        on another node
    │   └── StartFailed                   the agent's constructor raised
    ├── NotInAgent                        a value that exists only in a running agent was used outside
    ├── ReentrantCall                     a signal handler or finalizer would wait for the step that it has interrupted
    ├── ThreadLimitReached (RuntimeError) the process has as many threads as its budget permits
    ├── ProgramEnding (RuntimeError)      no thread starts any more, because the program ends
    ├── ServiceMissing (LookupError)      no service of that type was provided
    ├── RestartsExhausted                 an agent failed more often than its supervision permits
    ├── SnapshotFailed                    an agent's snapshot or restore raised
    ├── WaitTimeout (TimeoutError)        `.result(timeout)` ran out; only the waiting ended
    ├── TransportError                    a transport cannot carry a frame
    │   └── MessageTooLarge               because it exceeds the limit of the network
    ├── TopologyError (ValueError)        a topology or a file of keys is invalid
    ├── ClusterError                      an operation on a cluster failed
    │   ├── ClusterUnavailable            the cluster, or a node of it, does not answer
    │   ├── UnknownNode (LookupError)     no living node has that name
    │   ├── NoNodeFits (LookupError)      no living node has the labels or resources
    │   ├── NoNodeBeside (LookupError)    an agent beside which another is to be is on no living node
    │   ├── RefusedByNode                 a node could not do what it was asked
    │   └── LeaseLost                     a node may not use its durable agents for now
    ├── RemoteError                       an error of another process, as text; only ever a cause
    ├── ScenarioError (ValueError)        a scenario file is invalid
    ├── RunFolderFailed                   the folder of a run cannot be written
    ├── ExperimentChanged (ValueError)    the folder of an experiment is of another one, or cannot be read
    ├── RunUnknown (LookupError)          a folder does not belong to a run
    ├── RunStopped                        a command stopped a run
    ├── CommandRefused                    a run cannot follow a command
    ├── ServerFailed                      an address cannot be served on
    ├── StorageError                      a database operation failed
    │   ├── WrongUrl (ValueError)         a text does not name a database
    │   ├── StorageLocked                 another process has the file
    │   ├── StorageCorrupt                the file is damaged or not a database
    │   ├── StorageFull                   the disk is full
    │   ├── StorageUnavailable            the file or the server cannot be reached
    │   ├── StorageBusy                   no place in the queue, or no reader, in time
    │   ├── StorageClosed                 it was used after `close`
    │   ├── StorageForked                 it was used in a child of the process that opened it
    │   ├── WriteInsideWrite              a write waits for another write or closes the database
    │   ├── MigrationError                a schema cannot be migrated
    │   └── StatementFailed               the database refused a statement
    │       └── ConstraintViolated        because it violates a constraint of the schema
    ├── DurableError                      an operation of a durable agent failed; its state is as before
    │   ├── InvalidKey (ValueError)       a value cannot be a key
    │   ├── NoDeadLetter (LookupError)    no dead letter of the store has that number
    │   ├── StateUnreadable               a stored state or event cannot be read by its class
    │   ├── StateRefused                  a state, event or answer has no stored form
    │   ├── KeyReused (ValueError)        an idempotency key belongs to another request
    │   ├── NoStore                       the runtime has no store
    │   ├── Superseded                    another activation has changed the state meanwhile
    │   ├── Fenced                        another node may have the agent by now
    │   ├── ChangeInStream                a handler of a stream has changed its agent
    │   ├── ChangeLost                    a change could not be stored, and was undone
    │   └── OutsideHandler                a call that belongs to the handling of a message was made outside
    ├── ExtraMissing (ImportError)        a required optional package is not installed
    ├── MemoryFault                       an operation on memories failed
    │   ├── InvalidMemory (ValueError)    a key, an importance or a time is invalid
    │   ├── InvalidDump (ValueError)      a line of a dump is invalid or of a later version
    │   ├── DumpUnavailable (OSError)     a dump cannot be read or written
    │   ├── MemoryClosed                  the memory store has been closed
    │   │   └── MemoryForked              it was used in a child of the process that opened it
    │   ├── TierUnavailable               the store of a tier cannot be reached
    │   ├── WriteTimeout (TimeoutError)   a memory was not written or accepted in time
    │   ├── UnknownMemory (LookupError)   the agent has no memory of that id
    │   ├── UnknownBlock (LookupError)    the agent has no memory block of that name
    │   ├── BlockChanged                  another writer changed a memory block first
    │   ├── BlockTooLong (ValueError)     a text exceeds the limit of its memory block
    │   ├── InvalidExport (ValueError)    a file of another system cannot be imported
    │   ├── EmbeddingFailed               an embedder did not return vectors
    │   └── NotShared (PermissionError)   an agent's memories were not shared with another
    ├── WorkError                         a job was not accepted or failed
    │   ├── WorkStopped                   the engine, or the action system, has been stopped
    │   │   └── WorkForked                it belongs to the parent of this process
    │   ├── QueueFull                     a queue refused the job
    │   ├── ThreadsHeld                   functions that do not return hold too many threads
    │   ├── JobTimeout (TimeoutError)     it exceeded its time limit
    │   ├── JobCancelled                  it was cancelled
    │   ├── JobShed                       a job of the same or higher priority replaced it
    │   ├── JobExited                     its function raised SystemExit or similar
    │   ├── JobRaised                     it raised, in another process, an error whose class cannot be sent
    │   ├── CoroutineReturned (TypeError) it returned a coroutine, which has run nothing
    │   ├── JobWaitCycle                  waiting for it would be a deadlock
    │   ├── NotSendable (TypeError)       a value cannot be sent to a process
    │   ├── WorkerDied                    the process that ran it ended
    │   │   └── WorkerStartFailed         or ended before it took a job
    │   ├── CircuitOpen                   the target of the action failed too often
    │   ├── FeedbackFailed                the action was done, but applying its result failed
    │   ├── KeyConflict (ValueError)      an idempotency key was used for another action
    │   └── UnknownAction (LookupError)   no dead action has that id
    ├── ComponentError                    a request to a component failed
    │   ├── UnknownComponent (LookupError)  no component has that name
    │   ├── MalformedRequest (ValueError)   the component cannot read the request
    │   ├── ComponentDown                 it failed its checks, and could not be restarted
    │   ├── ComponentTimeout (TimeoutError)  the request exceeded its own time limit
    │   └── UnknownResponse (LookupError)   the orchestrator has no such response
    ├── WorldError                        an operation on a world failed
    │   ├── InvalidValue (ValueError)     a key or a value cannot be part of a world
    │   ├── InvalidIntent (ValueError)    an intent cannot be committed
    │   ├── ResolverFailed                a resolver raised or returned invalid resolutions
    │   ├── RuleFailed                    an invariant raised or returned an invalid result
    │   ├── UpdateRefused                 an invariant refused an update
    │   ├── CommitInsideCommit            a resolver or an invariant changes its own world
    │   ├── WorldClosed                   it was used after `close`
    │   ├── HistoryGone (LookupError)     a moment is not or no longer known
    │   ├── PatchRefused (KeyError)       a difference does not apply to its target
    │   ├── LogDamaged                    an event log is inconsistent
    │   ├── LogTaken                      another world has appended to the same log
    │   └── ResourcesExhausted            a resource limit has been reached
    ├── TableError                        a table of data is invalid, or cannot be read or written
    │   ├── NoTable (LookupError)         there is no table or column of that name
    │   ├── TableUnreadable (ValueError)  a file holds no table
    │   └── TableUnwritable (OSError)     a file of a table cannot be written
    ├── RoundsError                       a simulation failed
    │   ├── InvalidGraph (ValueError)     stages and edges do not form a valid graph
    │   ├── TurnForfeited                 a turn was forfeited and takes no more intents
    │   ├── StageFailed                   a stage raised or did not return in time
    │   ├── SettleHalted                  an error in `settle` that is not blamed on intents
    │   ├── CollectFailed                 a function of `collect` raised, or returned no plain data
    │   ├── CheckpointRefused             an agent cannot be stored in a checkpoint
    │   ├── RestoreFailed                 an agent cannot be restored from a checkpoint
    │   ├── CheckpointMissing (LookupError)  no checkpoint to resume from fits
    │   └── ReplayDiverged                a replay differs from the recording
    ├── ModelError                        a language model did not answer
    │   ├── ModelUnavailable              its provider cannot be reached or failed
    │   ├── ModelTimeout (TimeoutError)   it exceeded its time limit
    │   ├── RateLimited                   the provider limits the rate
    │   ├── ModelRefused                  the provider refused this request
    │   │   ├── ContextTooLong            because the prompt exceeds the context
    │   │   └── KeyRefused                because the API key is not accepted
    │   ├── KeyMissing                    the environment has no API key for it
    │   ├── MalformedReply                a reply cannot be read
    │   ├── StreamBroken                  a stream ended inside a reply
    │   └── ModelHalted                   no further request will be answered
    │       ├── BudgetExhausted           a budget does not permit another request
    │       ├── RecordingMissing (LookupError)  a request was not recorded, so it cannot be replayed
    │       ├── RecordingDamaged          a file of recordings cannot be used
    │       ├── RecordingTaken            another gateway writes the recording
    │       ├── GatewayForked             the gateway belongs to the parent of this process
    │       └── GatewayClosed             the gateway has been closed
    ├── ConversationError                 an operation on a conversation failed
    │   ├── ConversationClosed            it was used after `close`
    │   ├── ConversationTaken             it has since been opened elsewhere
    │   ├── ConversationFailed            its agent failed too often
    │   ├── ConversationFull              too many of its messages are unanswered
    │   ├── ConversationDamaged           its stored state cannot be read
    │   ├── InvalidText (ValueError)      a message is not text or cannot be stored
    │   ├── InvalidNamespace (ValueError)  a namespace is invalid
    │   ├── UnknownOperation (LookupError)  it has no operation of that id
    │   ├── TransitionRefused             an operation cannot change to that state
    │   ├── NoResult                      a turn ended without its typed result
    │   ├── ApprovalForbidden (PermissionError)  a person may not decide on an operation
    │   ├── InvalidArguments (ValueError)   changed arguments do not fit the tool
    │   ├── CallRefused                   a program called a tool that must not be called so
    │   ├── OperationStopped              raised in a tool whose operation must stop
    │   ├── ToolFailed                    a tool says that it could not do its work
    │   ├── OutcomeUnknown                a tool cannot know whether its write took effect
    │   └── ToolServerUnavailable         a server of tools cannot be reached
    ├── PersonaError                      an operation on a persona failed
    │   ├── InvalidPersona (ValueError)   a description of a persona is invalid
    │   │   └── PersonaTooLarge           or its file is too large
    │   ├── InvalidPopulation (ValueError)  a specification is invalid, or its quotas do not add up
    │   ├── WordingFailed                 a model did not word some personas of a population
    │   ├── DocumentUnreadable (ValueError)  a document cannot be read as text
    │   ├── PropositionFailed             a proposition could not be judged
    │   ├── InterventionFailed            the function of an intervention raised
    │   ├── FragmentConflict (ValueError) a fragment contradicts the persona
    │   ├── PersonaUnknown (LookupError)  no persona has that name
    │   ├── MindFailed                    a mind did not decide and has no fallback
    │   └── UnusableReply (ValueError)    a reply of a model cannot be used
    └── DeliveryError                     an ask or a tell failed
        ├── HandlerFailed                 the handler raised; its error is the cause
        │   └── Unhandled                 the agent has no handler for the message's type
        ├── AskTimeout (TimeoutError)     the deadline of the ask has passed
        ├── AskCancelled                  the asker or the runtime cancelled the ask
        ├── AgentStopped                  the agent has stopped or failed permanently
        │   └── RuntimeStopped            its runtime has stopped
        ├── UnknownAgent (LookupError)    no such agent was ever known there
        ├── MailboxFull                   the mailbox refused the message
        ├── MeetingError                  an operation on a meeting failed
        │   ├── MeetingNotHeld            the meeting does not take place
        │   │   ├── InvitationDeclined    a required guest declined
        │   │   ├── InvitationUnanswered  a required guest did not answer in time
        │   │   ├── GuestUnreachable      a required guest is unknown or has stopped
        │   │   └── QuorumMissed          fewer guests came than the quorum
        │   ├── MeetingClosed             it is over
        │   ├── NotAMember                the agent is not a member
        │   ├── NotYourTurn               another member has the floor
        │   ├── ContributionRefused       the contribution is invalid here
        │   ├── NoQuorum                  a majority of the members cannot be reached
        │   └── UnknownMeeting (LookupError)  no meeting has that id
        └── WaitCycle                     waiting for this reply would be a deadlock

A `DeliveryError` that leaves a handler fails the current message and not the agent: the fault is in another agent, which
is stopped, slow or broken.
"""

from __future__ import annotations

from coterie.errors.cluster import ClusterError, ClusterUnavailable
from coterie.errors.conversation import (
    ApprovalForbidden,
    ConversationClosed,
    ConversationError,
    ConversationFull,
    ConversationTaken,
    InvalidArguments,
    NoResult,
    OperationStopped,
    OutcomeUnknown,
    ToolFailed,
    ToolServerUnavailable,
    TransitionRefused,
    UnknownOperation,
)
from coterie.errors.definition import CodecError, DefinitionError, EncodeFailed, InvalidAddress, InvalidMessage, InvalidSetting
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
from coterie.errors.durable import (
    DurableError,
    InvalidKey,
    KeyReused,
    StateRefused,
    StateUnreadable,
)
from coterie.errors.general import (
    CoterieError,
    ExtraMissing,
    NameTaken,
    NotInAgent,
    ProgramEnding,
    ReentrantCall,
    ServiceMissing,
    SpawnError,
    StartFailed,
    ThreadLimitReached,
    TransportError,
    WaitTimeout,
    describe,
)
from coterie.errors.meetings import (
    ContributionRefused,
    InvitationDeclined,
    InvitationUnanswered,
    MeetingClosed,
    MeetingError,
    NoQuorum,
    NotAMember,
    NotYourTurn,
    UnknownMeeting,
)
from coterie.errors.memory import (
    BlockChanged,
    BlockTooLong,
    EmbeddingFailed,
    InvalidExport,
    InvalidMemory,
    MemoryClosed,
    MemoryFault,
    NotShared,
    TierUnavailable,
    UnknownBlock,
    UnknownMemory,
    WriteTimeout,
)
from coterie.errors.models import (
    BudgetExhausted,
    ContextTooLong,
    GatewayClosed,
    KeyMissing,
    ModelError,
    ModelHalted,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
    RateLimited,
    RecordingMissing,
)
from coterie.errors.network import MessageTooLarge, TopologyError
from coterie.errors.orchestrator import ComponentError, ScenarioError
from coterie.errors.personas import FragmentConflict, InvalidPersona, InvalidPopulation, PersonaError, WordingFailed
from coterie.errors.rounds import (
    CheckpointMissing,
    CheckpointRefused,
    CollectFailed,
    InvalidGraph,
    ReplayDiverged,
    RestoreFailed,
    RoundsError,
    StageFailed,
    TurnForfeited,
)
from coterie.errors.storage import MigrationError, StorageCorrupt, StorageError, StorageFull, StorageLocked, StorageUnavailable
from coterie.errors.tables import TableError
from coterie.errors.work import (
    CircuitOpen,
    JobCancelled,
    JobExited,
    JobRaised,
    JobShed,
    JobTimeout,
    JobWaitCycle,
    NotSendable,
    QueueFull,
    WorkerDied,
    WorkError,
    WorkStopped,
)
from coterie.errors.world import (
    HistoryGone,
    InvalidIntent,
    InvalidValue,
    ResolverFailed,
    ResourcesExhausted,
    UpdateRefused,
    WorldClosed,
    WorldError,
)

# Packed, for the file is a list of names as it is.
# fmt: off
__all__ = [
    "AgentStopped", "ApprovalForbidden",
    "AskCancelled", "AskTimeout", "BlockChanged", "BlockTooLong", "BudgetExhausted", "CheckpointMissing",
    "CheckpointRefused",
    "CircuitOpen", "ClusterError", "ClusterUnavailable", "CodecError", "CollectFailed",
    "ComponentError", "ContextTooLong", "ContributionRefused", "ConversationClosed",
    "ConversationError", "ConversationFull", "ConversationTaken", "CoterieError", "DefinitionError", "DeliveryError",
    "DurableError", "EmbeddingFailed", "EncodeFailed", "ExtraMissing", "FragmentConflict", "GatewayClosed",
    "HandlerFailed", "HistoryGone", "InvalidAddress", "InvalidArguments",
    "InvalidExport", "InvalidGraph", "InvalidIntent", "InvalidKey", "InvalidMemory",
    "InvalidMessage", "InvalidPersona", "InvalidPopulation",
    "InvalidSetting", "InvalidValue", "InvitationDeclined",
    "InvitationUnanswered", "JobCancelled", "JobExited", "JobRaised", "JobShed", "JobTimeout", "JobWaitCycle",
    "KeyMissing", "KeyReused", "MailboxFull", "MeetingClosed", "MeetingError", "MemoryClosed", "MemoryFault",
    "MessageTooLarge",
    "MigrationError", "ModelError", "ModelHalted", "ModelRefused", "ModelTimeout", "ModelUnavailable", "NameTaken",
    "NoQuorum", "NoResult", "NotAMember", "NotInAgent", "NotSendable", "NotShared", "NotYourTurn", "OperationStopped",
    "OutcomeUnknown", "PersonaError", "ProgramEnding", "QueueFull", "RateLimited", "RecordingMissing", "ReentrantCall", "ReplayDiverged",
    "ResolverFailed", "ResourcesExhausted", "RestoreFailed", "RoundsError", "RuntimeStopped", "ScenarioError",
    "ServiceMissing", "SpawnError", "StageFailed", "StartFailed", "StateRefused", "StateUnreadable", "StorageCorrupt",
    "StorageError", "StorageFull", "StorageLocked", "StorageUnavailable",
    "TableError",
    "ThreadLimitReached", "TierUnavailable",
    "ToolFailed", "ToolServerUnavailable", "TopologyError",
    "TransitionRefused",
    "TransportError",
    "TurnForfeited", "Unhandled", "UnknownAgent", "UnknownBlock", "UnknownMeeting", "UnknownMemory", "UnknownOperation",
    "UpdateRefused", "WaitCycle", "WaitTimeout", "WordingFailed", "WorkError", "WorkStopped", "WorkerDied", "WorldClosed",
    "WorldError", "WriteTimeout", "describe",
]
