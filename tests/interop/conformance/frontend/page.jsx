// A page of an existing front end, assistant-ui, that talks to an assistant by AG-UI. It is built and opened by `make conformance`.
import { useEffect, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import { HttpAgent } from "@ag-ui/client";
import { AssistantRuntimeProvider, ComposerPrimitive, ExportedMessageRepository, MessagePrimitive, ThreadPrimitive } from "@assistant-ui/react";
import { fromAgUiMessages, useAgUiInterrupts, useAgUiRuntime, useAgUiSubmitInterruptResponses } from "@assistant-ui/react-ag-ui";

const given = new URLSearchParams(location.search);
const [address, token] = [given.get("address"), given.get("token")];
const headers = { Authorization: `Bearer ${token}`, "X-User": "ann" };
const thread = `${address}/agui/t1`;

const Call = ({ toolName, result }) => <p className="call">{toolName}: {result === undefined ? "runs" : String(result)}</p>;
const parts = { Text: ({ text }) => <p className="text">{text}</p>, tools: { Fallback: Call } };
const UserMessage = () => <MessagePrimitive.Root className="user"><MessagePrimitive.Parts components={parts} /></MessagePrimitive.Root>;
const AssistantMessage = () => <MessagePrimitive.Root className="assistant"><MessagePrimitive.Parts components={parts} /></MessagePrimitive.Root>;

function Approvals() {
  const [interrupts, submit] = [useAgUiInterrupts(), useAgUiSubmitInterruptResponses()];
  const answer = (id, approved) => submit([{ interruptId: id, status: "resolved", payload: { approved } }]);
  return interrupts.map((each) => (
    <div key={each.id} className="approval">
      {each.message}
      <button className="approve" onClick={() => answer(each.id, true)}>Approve</button>
      <button className="reject" onClick={() => answer(each.id, false)}>Reject</button>
    </div>
  ));
}

// Results and progress between the runs: the endless stream of the thread.
function Operations() {
  const [shown, show] = useState({});
  useEffect(() => {
    const leave = new AbortController();
    (async () => {
      const reader = (await fetch(`${thread}/events`, { headers, signal: leave.signal })).body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        text += piece.value;
        const blocks = text.split("\n\n");
        text = blocks.pop();
        for (const block of blocks) {
          const line = block.split("\n").find((each) => each.startsWith("data: "));
          if (!line) continue;
          const event = JSON.parse(line.slice(6));
          if (event.type === "ACTIVITY_SNAPSHOT") show((all) => ({ ...all, [event.messageId]: `${event.content.tool} ${event.content.state} ${event.content.line}` }));
          if (event.type === "ACTIVITY_DELTA") show((all) => ({ ...all, [event.messageId]: `${all[event.messageId]} ${event.patch.at(-1).value}` }));
          if (event.type === "TEXT_MESSAGE_CONTENT") show((all) => ({ ...all, [event.messageId]: event.delta }));
        }
      }
    })().catch(() => {});
    return () => leave.abort();
  }, []);
  return <ul id="operations">{Object.entries(shown).map(([name, line]) => <li key={name}>{line}</li>)}</ul>;
}

function Page() {
  const agent = useMemo(() => new HttpAgent({ url: `${address}/agui`, threadId: "t1", headers }), []);
  const history = useMemo(() => ({
    async load() {
      const page = await (await fetch(`${thread}/transcript`, { headers })).json();
      return ExportedMessageRepository.fromArray(fromAgUiMessages(page.messages));
    },
    async append() {},
  }), []);
  const runtime = useAgUiRuntime({ agent, adapters: { history }, onError: (error) => (document.title = `error: ${error.message}`) });
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Messages components={{ UserMessage, AssistantMessage }} />
        <Approvals />
        <ComposerPrimitive.Root>
          <ComposerPrimitive.Input id="input" />
          <ComposerPrimitive.Send id="send">Send</ComposerPrimitive.Send>
        </ComposerPrimitive.Root>
      </ThreadPrimitive.Root>
      <Operations />
    </AssistantRuntimeProvider>
  );
}

createRoot(document.getElementById("page")).render(<Page />);
