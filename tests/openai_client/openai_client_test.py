#!/usr/bin/env python3
"""OpenAI's own Python client against `nibble serve`:  openai_client_test.py NIBBLE [MODEL]

Without MODEL a tiny one is made, whose tool calls are checked, too. Each check prints a line; the last is
"N passed, N failed". Needs the package openai (scripts/openai_client runs this with one that has it).
"""
import json
import math
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import openai

import small_model

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEY = "secret"
HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "parameters": {
        "type": "object", "required": ["city", "days"],
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"enum": [1, 2, 3]}}}}}
SCHEMA = {"type": "object", "required": ["a", "b"], "additionalProperties": False,
          "properties": {"a": {"type": "integer", "minimum": 1, "maximum": 99}, "b": {"enum": ["x", "y"]}}}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serve(nibble, model, port):
    server = subprocess.Popen([nibble, "serve", model, "--port", str(port), "--api-key", KEY, "--ctx", "2000",
                               "--no-access-log"], stderr=subprocess.PIPE)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health").read()
            return server
        except OSError:
            if server.poll() is not None:
                sys.exit(server.stderr.read().decode())
            time.sleep(0.05)
    sys.exit("the server does not come up")


def joined(stream):
    """What the chunks of a stream make together: content, tool calls, finish_reason, usage, log probabilities."""
    whole = {"content": "", "calls": {}, "finish": None, "usage": None, "logprobs": [], "roles": []}
    for chunk in stream:
        if chunk.usage:
            whole["usage"] = chunk.usage
        for choice in chunk.choices:
            delta = choice.delta
            if delta.role:
                whole["roles"].append(delta.role)
            whole["content"] += delta.content or ""
            for call in delta.tool_calls or []:
                entry = whole["calls"].setdefault(call.index, {"id": "", "name": "", "arguments": ""})
                entry["id"] += call.id or ""
                entry["name"] += call.function.name or ""
                entry["arguments"] += call.function.arguments or ""
            if choice.logprobs:
                whole["logprobs"] += choice.logprobs.content
            whole["finish"] = choice.finish_reason or whole["finish"]
    return whole


class Checks:
    def __init__(self, client, model, has_tools):
        self.client, self.model, self.has_tools = client, model, has_tools

    def chat(self, **more):
        return self.client.chat.completions.create(model=self.model, messages=HELLO, seed=7,
                                                   **{"max_tokens": 24, **more})

    def check_models(self):
        models = self.client.models.list().data
        assert len(models) == 1 and models[0].object == "model"

    def check_chat(self):
        answer = self.chat()
        assert answer.choices[0].message.role == "assistant" and answer.choices[0].message.content
        assert answer.usage.completion_tokens <= 24
        assert answer.choices[0].message.content == self.chat().choices[0].message.content, "equal seeds, equal text"
        assert len(self.chat(n=3).choices) == 3
        assert self.chat(max_tokens=None, max_completion_tokens=3).usage.completion_tokens == 3

    def check_streaming(self):
        whole = self.chat()
        stream = joined(self.chat(stream=True, stream_options={"include_usage": True}))
        assert stream["roles"] == ["assistant"]
        assert stream["content"] == whole.choices[0].message.content
        assert stream["finish"] == whole.choices[0].finish_reason
        assert stream["usage"].total_tokens == whole.usage.total_tokens

    def check_stop(self):
        text = self.chat().choices[0].message.content
        stop = text[5:7]
        answer = self.chat(stop=[stop])
        assert answer.choices[0].message.content == text[:text.index(stop)] and answer.choices[0].finish_reason == "stop"
        assert joined(self.chat(stop=[stop], stream=True))["content"] == text[:text.index(stop)]

    def check_logprobs(self):
        content = self.chat(logprobs=True, top_logprobs=5).choices[0].logprobs.content
        assert all(len(token.top_logprobs) == 5 and token.logprob <= 0 for token in content)
        assert all(bytes(token.bytes).decode(errors="replace") == token.token for token in content)
        streamed = joined(self.chat(logprobs=True, top_logprobs=5, stream=True))["logprobs"]
        assert [t.model_dump() for t in streamed] == [t.model_dump() for t in content]
        completion = self.client.completions.create(model=self.model, prompt="Hello", logprobs=2, max_tokens=4, seed=1)
        assert len(completion.choices[0].logprobs.tokens) == 4

    def check_logit_bias(self):
        token = self.client.post("/../tokenize", cast_to=object, body={"content": "A"})["tokens"][0]
        answer = self.chat(logit_bias={str(token): 100}, temperature=0, max_tokens=3)
        assert answer.choices[0].message.content == "AAA", answer.choices[0].message.content

    def check_json(self):
        text = self.chat(response_format={"type": "json_object"}, max_tokens=1500).choices[0]
        if text.finish_reason == "stop":
            assert isinstance(json.loads(text.message.content), dict)
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}
        answer = json.loads(self.chat(response_format=wanted, max_tokens=200).choices[0].message.content)
        assert 1 <= answer["a"] <= 99 and answer["b"] in ("x", "y")
        streamed = joined(self.chat(response_format=wanted, max_tokens=200, stream=True))
        assert json.loads(streamed["content"]) == answer
        wanted["json_schema"]["schema"] = {**SCHEMA, "not": {}}
        self.refused(400, lambda: self.chat(response_format=wanted))

    def check_tools(self):
        if not self.has_tools:
            self.refused(400, lambda: self.chat(tools=[WEATHER], tool_choice="required"))
            return
        whole = self.chat(tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=400)
        assert whole.choices[0].finish_reason == "tool_calls" and whole.choices[0].message.content is None
        call = whole.choices[0].message.tool_calls[0]
        arguments = json.loads(call.function.arguments)
        assert call.function.name == "get_weather" and arguments["city"] in ("Paris", "Rome")
        stream = joined(self.chat(tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=400,
                                  stream=True))
        assert stream["finish"] == "tool_calls" and stream["calls"][0]["arguments"] == call.function.arguments
        # The helper that puts streams together itself.
        with self.client.chat.completions.stream(model=self.model, messages=HELLO, seed=7, tools=[WEATHER],
                                                 tool_choice="required", parallel_tool_calls=False,
                                                 max_tokens=400) as events:
            for _ in events:
                pass
            final = events.get_final_completion().choices[0].message
        assert final.tool_calls[0].function.arguments == call.function.arguments
        self.chat(tools=[WEATHER], tool_choice="auto")
        turn = [*HELLO, whole.choices[0].message,
                {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        assert self.client.chat.completions.create(model=self.model, messages=turn, max_tokens=4).choices

    def check_embeddings(self):
        answer = self.client.embeddings.create(model=self.model, input=["Hello", "world"])
        assert len(answer.data) == 2
        assert abs(math.hypot(*answer.data[0].embedding) - 1) < 1e-4
        plain = self.client.embeddings.create(model=self.model, input="Hello", encoding_format="float")
        assert max(abs(a - b) for a, b in zip(plain.data[0].embedding, answer.data[0].embedding)) < 1e-6

    def check_completions(self):
        answer = self.client.completions.create(model=self.model, prompt=["Hello", "world"], max_tokens=4, seed=1)
        streamed = {0: "", 1: ""}
        for chunk in self.client.completions.create(model=self.model, prompt=["Hello", "world"], max_tokens=4, seed=1,
                                                    stream=True):
            for choice in chunk.choices:
                streamed[choice.index] += choice.text
        assert [streamed[0], streamed[1]] == [choice.text for choice in answer.choices]

    def check_errors(self):
        error = self.refused(400, lambda: self.chat(temperature=-1))
        assert error.param == "temperature" and error.type == "invalid_request_error"
        self.refused(400, lambda: self.chat(max_tokens=0))
        error = self.refused(400, lambda: self.client.completions.create(model=self.model, prompt=[1] * 3000))
        assert error.code == "context_length_exceeded"
        stranger = self.client.with_options(api_key="wrong", max_retries=0)
        try:
            stranger.models.list()
            raise AssertionError("a wrong key was taken")
        except openai.AuthenticationError:
            pass

    def check_async(self):
        import asyncio

        async def ask():
            async with openai.AsyncOpenAI(base_url=str(self.client.base_url), api_key=KEY) as client:
                answers = await asyncio.gather(*[
                    client.chat.completions.create(model=self.model, messages=HELLO, seed=7, temperature=0,
                                                   max_tokens=8) for _ in range(16)])
                return {a.choices[0].message.content for a in answers}

        assert len(asyncio.run(ask())) == 1, "the same text among others"

    @staticmethod
    def refused(status, request):
        try:
            request()
        except openai.APIStatusError as e:
            assert e.status_code == status, e
            return e
        raise AssertionError(f"not refused with {status}")


def main():
    nibble = os.path.abspath(sys.argv[1])
    port = free_port()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        model = sys.argv[2] if len(sys.argv) > 2 else os.path.join(scratch, "tiny")
        if len(sys.argv) <= 2:
            small_model.write(pathlib.Path(model), ROOT)
        server = serve(nibble, model, port)
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0)
        checks = Checks(client, "any name", len(sys.argv) <= 2)
        for name in [n for n in dir(Checks) if n.startswith("check_")]:
            try:
                getattr(checks, name)()
                passed += 1
                print(f"openai {openai.__version__}: {name[6:]}: ok", flush=True)
            except Exception as e:  # a check that fails must not end the others
                failed += 1
                print(f"openai {openai.__version__}: {name[6:]}: FAILED: {type(e).__name__}: {e}", flush=True)
        server.send_signal(signal.SIGTERM)
        if server.wait(timeout=60) != 0:
            failed += 1
            print("the server did not end well")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
