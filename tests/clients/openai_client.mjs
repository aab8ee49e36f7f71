// OpenAI's own Node client against a running server: node openai_client.mjs http://127.0.0.1:8000/v1
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const model = (await client.models.list()).data[0].id;
const messages = [
  { role: "system", content: "You are Aria, keeper of the lighthouse." },
  { role: "user", content: "Who lit the lamp tonight?" },
];

const answer = await client.chat.completions.create({ model, messages, max_tokens: 12 });
assert.ok(answer.choices[0].message.content);
assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);

let text = "";
let usage = null;
const stream = await client.chat.completions.create({
  model,
  messages,
  max_tokens: 12,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
assert.ok(text.length > 0);
assert.ok(usage.completion_tokens > 0);

const vectors = await client.embeddings.create({ model, input: "The lamp went out." });
assert.equal(vectors.data[0].embedding.length, 384);

await assert.rejects(
  client.chat.completions.create({ model, messages: [] }),
  (error) => error instanceof OpenAI.BadRequestError && error.message.includes("messages"),
);
await assert.rejects(client.models.retrieve("none"), OpenAI.NotFoundError);

console.log("the Node client is served");
