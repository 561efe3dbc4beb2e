// The official Anthropic client against the gateway.

import Anthropic from "@anthropic-ai/sdk";
import { key, run, url, weather } from "./report.mjs";

const client = new Anthropic({ baseURL: url + "/anthropic", apiKey: key, maxRetries: 0 });
const hi = { max_tokens: 100, messages: [{ role: "user", content: "hi" }] };
const tools = [{ name: weather.name, description: weather.description, input_schema: weather.schema }];

await run({
  messages: async () => {
    const m = await client.messages.create({ model: "claude", ...hi });
    return { text: m.content[0].text, stop: m.stop_reason, usage: [m.usage.input_tokens, m.usage.output_tokens] };
  },
  bare_host: async () => {
    const m = await new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 }).messages.create({ model: "claude", ...hi });
    return m.stop_reason;
  },
  stream: async () => {
    const kinds = [];
    for await (const event of await client.messages.create({ model: "claude", ...hi, stream: true })) {
      if (kinds.at(-1) !== event.type) kinds.push(event.type);
    }
    return kinds;
  },
  stream_helper: async () => {
    const m = await client.messages.stream({ model: "claude", ...hi }).finalMessage();
    return { text: m.content[0].text, stop: m.stop_reason, output: m.usage.output_tokens };
  },
  tools: async () => {
    const first = await client.messages.create({ model: "claude", ...hi, tools });
    const call = first.content[0];
    const second = await client.messages.create({
      model: "claude", max_tokens: 100, tools,
      messages: [
        ...hi.messages, { role: "assistant", content: first.content },
        { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "sunny" }] },
      ],
    });
    return { call: [call.name, call.input], stop: first.stop_reason, text: second.content[0].text };
  },
  tools_stream: async () => {
    const m = await client.messages.stream({ model: "claude", ...hi, tools }).finalMessage();
    return { input: m.content[0].input, stop: m.stop_reason };
  },
  count_tokens: async () => (await client.messages.countTokens({ model: "claude", messages: hi.messages })).input_tokens,
  models: async () => {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    return names;
  },
  model: async () => (await client.models.retrieve("claude")).id,
  unknown_model: () => client.messages.create({ model: "nothing", ...hi }),
  wrong_format: () => client.messages.create({ model: "chat", ...hi }),
  bad_key: () => client.withOptions({ apiKey: "sk-ant-nobody" }).messages.create({ model: "claude", ...hi }),
  refused_body: () => client.messages.create(hi),
  rate_limited: () => client.messages.create({ model: "claude-limited", ...hi }),
  cut_stream: async () => {
    for await (const _ of await client.messages.create({ model: "claude-cut", ...hi, stream: true }));
    return "looks complete";
  },
  cancel: async () => {
    for await (const _ of await client.messages.create({ model: "claude-slow", ...hi, stream: true })) break;
    return "left";
  },
});
