"""OpenAI's own Python client against a running server: python openai_client.py http://127.0.0.1:8000/v1"""

import sys

from openai import BadRequestError, NotFoundError, OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
model = client.models.list().data[0].id
hello = [
    {"role": "system", "content": "You are Aria, keeper of the lighthouse."},
    {"role": "user", "content": "Who lit the lamp tonight?"},
]

answer = client.chat.completions.create(model=model, messages=hello, max_tokens=12)
assert answer.choices[0].message.content, answer
assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
assert answer.choices[0].finish_reason in ("stop", "length")

chunks = list(
    client.chat.completions.create(
        model=model,
        messages=hello,
        max_tokens=12,
        stream=True,
        stream_options={"include_usage": True},
    )
)
assert chunks[0].choices[0].delta.role == "assistant"
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
assert chunks[-1].usage.completion_tokens > 0 and not chunks[-1].choices

several = client.chat.completions.create(model=model, messages=hello, max_tokens=8, n=2)
assert [choice.index for choice in several.choices] == [0, 1]

schema = {
    "type": "object",
    "properties": {"lit": {"type": "boolean"}},
    "required": ["lit"],
    "additionalProperties": False,
}
form = {"type": "json_schema", "json_schema": {"name": "lamp", "schema": schema}}
held = client.chat.completions.create(
    model=model, messages=hello, max_tokens=40, response_format=form, temperature=0
)
assert held.choices[0].message.content.strip().startswith("{"), held

told = client.chat.completions.create(
    model=model, messages=hello, max_tokens=4, logprobs=True, top_logprobs=2
)
assert len(told.choices[0].logprobs.content[0].top_logprobs) == 2

text = client.completions.create(model=model, prompt="The lamp went out, and", max_tokens=8)
assert text.choices[0].text

vectors = client.embeddings.create(model=model, input=["The lamp.", "The dark."])
assert len(vectors.data) == 2 and len(vectors.data[0].embedding) == 384

for error, request in (
    (BadRequestError, lambda: client.chat.completions.create(model=model, messages=[])),
    (
        BadRequestError,
        lambda: client.chat.completions.create(model=model, messages=hello, temperature=9),
    ),
    (NotFoundError, lambda: client.models.retrieve("none")),
):
    try:
        request()
        raise SystemExit(f"{error.__name__} was expected")
    except error as problem:
        assert problem.body["message"], problem

print("the Python client is served")
