"""The official Anthropic client against the gateway."""

import anthropic

from report import KEY, URL, WEATHER, run

client = anthropic.Anthropic(base_url=URL + "/anthropic", api_key=KEY, max_retries=0)
HI = {"max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
TOOLS = [{"name": WEATHER["name"], "description": WEATHER["description"], "input_schema": WEATHER["schema"]}]


def messages():
    m = client.messages.create(model="claude", **HI)
    return {"text": m.content[0].text, "stop": m.stop_reason, "usage": [m.usage.input_tokens, m.usage.output_tokens]}


def stream():
    with client.messages.stream(model="claude", **HI) as s:
        text = "".join(s.text_stream)
        return {"text": text, "stop": s.get_final_message().stop_reason}


def tools():
    m = client.messages.create(model="claude", tools=TOOLS, **HI)
    return {"call": [m.content[0].name, m.content[0].input], "stop": m.stop_reason}


def count_tokens():
    return client.messages.count_tokens(model="claude", messages=HI["messages"]).input_tokens


def models():
    return [m.id for m in client.models.list()]


def unknown_model():
    client.messages.create(model="nothing", **HI)


def bad_key():
    client.with_options(api_key="sk-ant-nobody").messages.create(model="claude", **HI)


def refused_body():
    client.post("/v1/messages", body=HI, cast_to=object)


def rate_limited():
    client.messages.create(model="claude-limited", **HI)


def cut_stream():
    for _ in client.messages.create(model="claude-cut", stream=True, **HI):
        pass
    return "looks complete"


def cancel():
    with client.messages.create(model="claude-slow", stream=True, **HI) as s:
        next(iter(s))
    return "left"


run(messages, stream, tools, count_tokens, models, unknown_model, bad_key, refused_body, rate_limited, cut_stream, cancel)
