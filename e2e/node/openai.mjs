// The official OpenAI client against the gateway.

import OpenAI from "openai";
import { key, run, url, weather } from "./report.mjs";

const client = new OpenAI({ baseURL: url + "/v1", apiKey: key, maxRetries: 0 });
const hi = [{ role: "user", content: "hi" }];
const tools = [{ type: "function", function: { name: weather.name, description: weather.description, parameters: weather.schema } }];

await run({
  chat: async () => {
    const c = await client.chat.completions.create({ model: "chat", messages: hi });
    return { text: c.choices[0].message.content, finish: c.choices[0].finish_reason, usage: c.usage };
  },
  chat_stream: async () => {
    const stream = await client.chat.completions.create({ model: "chat", messages: hi, stream: true });
    let text = "", chunks = 0, usage = 0, empty = 0;
    for await (const chunk of stream) {
      chunks++;
      if (chunk.usage) usage++;
      if (chunk.choices.length === 0) empty++;
      text += chunk.choices[0]?.delta?.content ?? "";
    }
    return { text, several: chunks > 3, usage, empty };
  },
  chat_stream_usage: async () => {
    const stream = await client.chat.completions.create({ model: "chat", messages: hi, stream: true, stream_options: { include_usage: true } });
    let usage = null;
    for await (const chunk of stream) usage = chunk.usage ?? usage;
    return usage;
  },
  tools: async () => {
    const messages = [{ role: "user", content: "What is the weather?" }];
    const first = await client.chat.completions.create({ model: "chat", messages, tools });
    const call = first.choices[0].message.tool_calls[0];
    messages.push(first.choices[0].message, { role: "tool", tool_call_id: call.id, content: "sunny" });
    const second = await client.chat.completions.create({ model: "chat", messages, tools });
    return { call: call.function, finish: first.choices[0].finish_reason, text: second.choices[0].message.content };
  },
  tools_stream: async () => {
    const stream = client.chat.completions.stream({ model: "chat", messages: hi, tools });
    const final = await stream.finalChatCompletion();
    return { call: final.choices[0].message.tool_calls[0].function.arguments, finish: final.choices[0].finish_reason };
  },
  completions: async () => {
    const c = await client.completions.create({ model: "chat", prompt: "hi" });
    return c.choices[0].text;
  },
  responses: async () => {
    const r = await client.responses.create({ model: "chat", input: "hi" });
    return { text: r.output_text, status: r.status, usage: r.usage.total_tokens };
  },
  responses_stream: async () => {
    const kinds = [];
    let text = "";
    for await (const event of await client.responses.create({ model: "chat", input: "hi", stream: true })) {
      if (kinds.at(-1) !== event.type) kinds.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    return { text, kinds };
  },
  embeddings: async () => {
    const e = await client.embeddings.create({ model: "embedding", input: ["a", "b"] });
    return { count: e.data.length, dimensions: e.data[0].embedding.length, number: typeof e.data[0].embedding[0], usage: e.usage };
  },
  models: async () => {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    return names;
  },
  model: async () => (await client.models.retrieve("chat")).id,
  chain: async () => {
    const c = await client.chat.completions.create({ model: "team", messages: hi });
    return c.model;
  },
  unknown_model: () => client.chat.completions.create({ model: "nothing", messages: hi }),
  wrong_format: () => client.chat.completions.create({ model: "claude", messages: hi }),
  bad_key: () => client.withOptions({ apiKey: "sk-nobody-knows-me" }).chat.completions.create({ model: "chat", messages: hi }),
  refused_body: () => client.chat.completions.create({ messages: hi }),
  rate_limited: () => client.chat.completions.create({ model: "limited", messages: hi }),
  provider_refuses_gateway: () => client.chat.completions.create({ model: "stranger", messages: hi }),
  cut_stream: async () => {
    for await (const _ of await client.chat.completions.create({ model: "cut", messages: hi, stream: true }));
    return "looks complete";
  },
  cancel: async () => {
    const stream = await client.chat.completions.create({ model: "slow", messages: hi, stream: true });
    for await (const _ of stream) break; // which aborts the request
    return "left";
  },
});
