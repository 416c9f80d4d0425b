// Runs of an assistant through the protocol's own client, which verifies every event.
import { HttpAgent } from "@ag-ui/client";
import { spawn } from "node:child_process";
import assert from "node:assert/strict";

const server = spawn(process.argv[2], [process.argv[3]], { stdio: ["pipe", "pipe", "inherit"] });
const [url, token] = await new Promise((found) => server.stdout.once("data", (line) => found(String(line).trim().split(" "))));
let failed = false;
try {
  const agent = new HttpAgent({ url, threadId: "t1", headers: { Authorization: `Bearer ${token}`, "X-User": "ann" } });
  const say = async (text, more = {}) => {
    if (text) agent.addMessage({ id: crypto.randomUUID(), role: "user", content: text });
    const seen = [];
    await agent.runAgent(more, { onEvent: ({ event }) => void seen.push(event) });
    return seen;
  };
  await say("hello");
  assert.equal(agent.messages.at(-1).content, "you said hello");

  await say("pay 5");
  assert.equal(agent.pendingInterrupts.length, 1);
  await assert.rejects(() => agent.runAgent({}), /pending interrupt/);
  const resume = [{ interruptId: agent.pendingInterrupts[0].id, status: "resolved", payload: { approved: true } }];
  await say("", { resume });
  assert.equal(agent.pendingInterrupts.length, 0);
  assert.ok(agent.messages.some((each) => each.content === "5 paid"));

  const tools = [{ name: "paint", description: "Paint the page.", parameters: { type: "object", properties: { colour: { type: "string" } } } }];
  const called = await say("paint it", { tools });
  const call = called.find((event) => event.type === "TOOL_CALL_START").toolCallId;
  assert.deepEqual(called.at(-1).outcome.pendingToolCallIds, [call]);
  agent.addMessage({ id: crypto.randomUUID(), role: "tool", toolCallId: call, content: "it is red" });
  await say("", { tools });
  assert.equal(agent.messages.at(-1).content, "[it is red]");
  assert.equal(new Set(agent.messages.map((each) => each.id)).size, agent.messages.length);
  console.log("AG-UI: all runs passed the client's verifier");
} catch (error) {
  console.error(error);
  failed = true;
} finally {
  server.stdin.end();
}
process.exitCode = failed ? 1 : 0;
