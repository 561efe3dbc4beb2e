"""The official OpenAI client against the gateway."""

import openai

from report import KEY, URL, WEATHER, run

client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
HI = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {
    "name": WEATHER["name"], "description": WEATHER["description"], "parameters": WEATHER["schema"]}}]


def chat():
    c = client.chat.completions.create(model="chat", messages=HI)
    return {"text": c.choices[0].message.content, "finish": c.choices[0].finish_reason, "total": c.usage.total_tokens}


def chat_stream():
    text, chunks, usage = "", 0, 0
    for chunk in client.chat.completions.create(model="chat", messages=HI, stream=True):
        chunks += 1
        usage += chunk.usage is not None
        text += chunk.choices[0].delta.content or ""
    return {"text": text, "several": chunks > 3, "usage": usage}


def tools():
    c = client.chat.completions.create(model="chat", messages=HI, tools=TOOLS)
    call = c.choices[0].message.tool_calls[0].function
    return {"call": [call.name, call.arguments], "finish": c.choices[0].finish_reason}


def responses_stream():
    kinds = [event.type for event in client.responses.create(model="chat", input="hi", stream=True)]
    return [kinds[0], kinds[-1], "response.output_text.delta" in kinds]


def responses():
    return client.responses.create(model="chat", input="hi").output_text


def embeddings():
    e = client.embeddings.create(model="embedding", input=["a", "b"])
    return {"count": len(e.data), "dimensions": len(e.data[0].embedding)}


def models():
    return [m.id for m in client.models.list()]


def unknown_model():
    client.chat.completions.create(model="nothing", messages=HI)


def bad_key():
    client.with_options(api_key="sk-nobody-knows-me").chat.completions.create(model="chat", messages=HI)


def refused_body():
    client.post("/chat/completions", body={"messages": HI}, cast_to=object)


def rate_limited():
    client.chat.completions.create(model="limited", messages=HI)


def cut_stream():
    for _ in client.chat.completions.create(model="cut", messages=HI, stream=True):
        pass
    return "looks complete"


def cancel():
    with client.chat.completions.create(model="slow", messages=HI, stream=True) as stream:
        next(iter(stream))
    return "left"


run(chat, chat_stream, tools, responses, responses_stream, embeddings, models, unknown_model, bad_key, refused_body,
    rate_limited, cut_stream, cancel)
