// Node's `ws` against a running server's sessions: node websocket.mjs http://127.0.0.1:8000
import assert from "node:assert/strict";
import { once } from "node:events";
import WebSocket from "ws";

const base = process.argv[2];
const begun = await fetch(`${base}/session/start`, {
  method: "POST",
  body: JSON.stringify({ user_id: "node", persona: "supportive_coach" }),
});
assert.equal(begun.status, 200);

const open = async (user) => {
  const socket = new WebSocket(`${base.replace("http", "ws")}/ws/chat/${user}`);
  await once(socket, "open");
  return socket;
};
const events = async (socket, text) => {
  const heard = [];
  socket.send(JSON.stringify({ text }));
  for await (const [data] of on(socket)) {
    heard.push(JSON.parse(data));
    if (heard.at(-1).type !== "chunk") return heard;
  }
};
async function* on(socket) {
  while (true) yield await once(socket, "message");
}

const socket = await open("node");
const heard = await events(socket, "I keep putting off my thesis.");
const last = heard.at(-1);
assert.equal(last.type, "complete");
assert.equal(
  heard.slice(0, -1).map((event) => event.content).join(""),
  last.response,
);
socket.close();

const nobody = await open("nobody");
const closed = once(nobody, "close");
nobody.send(JSON.stringify({ text: "Hello?" }));
assert.equal((await closed)[0], 1008);

console.log("the WebSocket client is served");
