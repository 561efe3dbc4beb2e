// The official Google client against the gateway.

import { GoogleGenAI } from "@google/genai";
import { key, run, url, weather } from "./report.mjs";

const at = (apiKey) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: url + "/gemini", retryOptions: { attempts: 1 } } });
const client = at(key);
const config = {
  tools: [{ functionDeclarations: [{ name: weather.name, description: weather.description, parametersJsonSchema: weather.schema }] }],
};

await run({
  generate: async () => {
    const r = await client.models.generateContent({ model: "gemini", contents: "hi" });
    return { text: r.text, finish: r.candidates[0].finishReason, usage: r.usageMetadata };
  },
  bare_host: async () => {
    const bare = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } });
    return (await bare.models.generateContent({ model: "gemini", contents: "hi" })).candidates[0].finishReason;
  },
  stream: async () => {
    let text = "", chunks = 0, last;
    for await (const chunk of await client.models.generateContentStream({ model: "gemini", contents: "hi" })) {
      chunks++;
      text += chunk.text ?? "";
      last = chunk;
    }
    return { text, several: chunks > 3, finish: last.candidates[0].finishReason, total: last.usageMetadata.totalTokenCount };
  },
  tools: async () => {
    const first = await client.models.generateContent({ model: "gemini", contents: "What is the weather?", config });
    const call = first.functionCalls[0];
    const second = await client.models.generateContent({
      model: "gemini", config,
      contents: [
        { role: "user", parts: [{ text: "What is the weather?" }] }, first.candidates[0].content,
        { role: "user", parts: [{ functionResponse: { name: call.name, response: { weather: "sunny" } } }] },
      ],
    });
    return { call: [call.name, call.args], text: second.text };
  },
  count_tokens: async () => (await client.models.countTokens({ model: "gemini", contents: "hello" })).totalTokens,
  embed: async () => {
    const r = await client.models.embedContent({ model: "gemini", contents: ["a", "b"] });
    return { count: r.embeddings.length, dimensions: r.embeddings[0].values.length };
  },
  models: async () => {
    const names = [];
    for await (const model of await client.models.list()) names.push(model.name);
    return names;
  },
  model: async () => (await client.models.get({ model: "gemini" })).name,
  unknown_model: () => client.models.generateContent({ model: "nothing", contents: "hi" }),
  wrong_format: () => client.models.generateContent({ model: "chat", contents: "hi" }),
  bad_key: () => at("AIza-nobody-knows-me").models.generateContent({ model: "gemini", contents: "hi" }),
  rate_limited: () => client.models.generateContent({ model: "gemini-limited", contents: "hi" }),
  cut_stream: async () => {
    for await (const _ of await client.models.generateContentStream({ model: "gemini-cut", contents: "hi" }));
    return "looks complete";
  },
  cancel: async () => {
    const controller = new AbortController();
    const stream = await client.models.generateContentStream({
      model: "gemini-slow", contents: "hi", config: { abortSignal: controller.signal },
    });
    await stream.next();
    controller.abort();
    return "left";
  },
});
