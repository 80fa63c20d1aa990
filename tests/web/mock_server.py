#!/usr/bin/env python3
"""A server that speaks what the web page needs of `nibble serve`, without a model:  mock_server.py [--port N]

It sends the page's files as the program embeds them, with the program's headers. Tests steer it through /mock/: POST
/mock/state sets fields of State, GET /mock/requests lists what was asked.
"""

import argparse
import dataclasses
import http.server
import json
import pathlib
import sys
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "apps/server/web")]

import embed  # noqa: E402
import mock_answers  # noqa: E402
import mock_models  # noqa: E402

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
CONTEXT = 4096


@dataclasses.dataclass
class State:
    loading: bool = False
    key: str = ""
    busy: int = 0  # so many chat requests are refused with 503 first
    delay_ms: float = 5
    piece_chars: int = 0
    models: int = 2
    replies: dict = dataclasses.field(default_factory=dict)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), Handler)
        self.state = State()
        self.chats = []
        self.paths = []
        self.aborted = 0
        self.assets = {a.path: a for a in embed.assets()}

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, content_type, body, **headers):
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": content_type, "Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def send_json(self, value, status=200, **headers):
        self.send(status, "application/json", json.dumps(value).encode(), **headers)

    def refuse(self, status, message, kind="invalid_request_error", **headers):
        self.send_json({"error": {"message": message, "type": kind, "code": None, "param": None}}, status, **headers)

    def do_GET(self):  # noqa: N802
        url = urllib.parse.urlparse(self.path)
        self.server.paths.append(self.path)
        state = self.server.state
        if url.path == "/mock/requests":
            return self.send_json(
                {"chats": self.server.chats, "paths": self.server.paths, "aborted": self.server.aborted}
            )
        if asset := self.server.assets.get(url.path):
            return self.send(
                200, asset.content_type, asset.body, Content_Encoding="gzip", ETag=asset.etag, Cache_Control="no-cache"
            )
        if not self.allowed():
            return None
        model = urllib.parse.parse_qs(url.query).get("model", [""])[0]
        models = mock_models.MODELS[: state.models]
        if url.path == "/v1/models":
            return self.send_json(
                {
                    "object": "list",
                    "data": [
                        {
                            "id": m,
                            "object": "model",
                            "created": 1700000000,
                            "owned_by": "nibble",
                            "meta": {
                                "n_ctx_train": 8192,
                                "n_ctx": CONTEXT,
                                "n_vocab": 49152,
                                "size": 91_000_000,
                                "n_params": 134_515_008,
                                "architecture": "llama",
                            },
                        }
                        for m in models
                    ],
                }
            )
        if url.path == "/api/models":
            return self.send_json({"models": [{"id": m, "path": f"models/{m}", "has_report": True} for m in models]})
        if url.path == "/api/reports":
            return self.send_json({"reports": mock_models.reports()})
        if model in models and url.path == "/api/inspect":
            return self.send_json(mock_models.inspection(model))
        if model in models and url.path == "/api/report":
            return self.send_json(next(r["report"] for r in mock_models.reports() if r["name"].startswith(model)))
        return self.refuse(404, f"{url.path}: not found")

    def do_POST(self):  # noqa: N802
        self.server.paths.append(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path == "/mock/state":
            for name, value in body.items():
                setattr(self.server.state, name, value)
            return self.send_json({})
        if self.path == "/mock/reset":
            self.server.state = State()
            self.server.chats, self.server.paths, self.server.aborted = [], [], 0
            return self.send_json({})
        if not self.allowed():
            return None
        if self.path == "/tokenize":
            return self.send_json({"tokens": list(range(len(body["content"].split())))})
        if self.path == "/v1/chat/completions":
            return self.chat(body)
        return self.refuse(404, f"{self.path}: not found")

    def allowed(self):
        state = self.server.state
        if state.loading:
            self.refuse(503, "The model is loading", "unavailable_error", Retry_After=1)
        elif state.key and self.headers.get("Authorization") != f"Bearer {state.key}":
            self.refuse(401, "The API key is missing or wrong", "authentication_error")
        else:
            return True
        return False

    def chat(self, body):
        state = self.server.state
        self.server.chats.append(body)
        # A question after one that was not answered comes joined to it.
        question = body["messages"][-1]["content"].split("\n\n")[-1]
        if state.busy > 0:
            state.busy -= 1
            return self.refuse(503, "The queue is full", "unavailable_error", Retry_After=1)
        if question.startswith("!400"):
            return self.refuse(400, "max_tokens: must be at least 1")
        if question.startswith("!500"):
            return self.send(500, "text/html", b"<h1>Internal</h1>")
        try:
            self.stream(body, question)
        except (ConnectionError, TimeoutError):
            self.server.aborted += 1
            self.close_connection = True
        return None

    def stream(self, body, question):
        state = self.server.state
        self.send_response(200)
        for name, value in {
            **HEADERS,
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "Connection": "close",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True

        def event(value):
            self.wfile.write(
                b"data: "
                + (value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode())
                + b"\n\n"
            )
            self.wfile.flush()

        def chunk(delta, finish=None):
            event(
                {
                    "id": "chatcmpl-1",
                    "object": "chat.completion.chunk",
                    "created": 1700000000,
                    "model": body.get("model"),
                    "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
                }
            )

        chunk({"role": "assistant", "content": ""})
        self.wfile.write(b": keep-alive\n\n")
        text = mock_answers.answer(question, body, state.replies)
        start = time.monotonic()
        sent = 0
        for i, piece in enumerate(mock_answers.pieces(text, state.piece_chars)):
            if question.startswith("!error") and i == 5:
                event(
                    {
                        "error": {
                            "message": "The engine ran out of memory",
                            "type": "server_error",
                            "code": None,
                            "param": None,
                        }
                    }
                )
                return
            if question.startswith("!drop") and i == 5:
                return
            if body.get("max_tokens") and i >= body["max_tokens"]:
                break
            chunk({"content": piece})
            sent += 1
            time.sleep((40 if question.startswith("!slow") else state.delay_ms) / 1000)
        if question.startswith("!tool"):
            chunk(
                {
                    "tool_calls": [
                        {
                            "index": 0,
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": ""},
                        }
                    ]
                }
            )
            for piece in ('{"city": ', '"Oslo"}'):
                chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        chunk(
            {},
            (
                "tool_calls"
                if question.startswith("!tool")
                else "length" if body.get("max_tokens") and sent >= body["max_tokens"] else "stop"
            ),
        )
        self.usage(event, body, sent, time.monotonic() - start)
        event(b"[DONE]")

    def usage(self, event, body, sent, seconds):
        prompt = sum(len(m["content"].split()) + 4 for m in body["messages"])
        rate = sent / seconds if seconds > 0 else 0
        event(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "choices": [],
                "usage": {"prompt_tokens": prompt, "completion_tokens": sent, "total_tokens": prompt + sent},
                "timings": {
                    "prompt_n": prompt,
                    "prompt_ms": 12.0,
                    "predicted_n": sent,
                    "predicted_ms": 1000 * seconds,
                    "predicted_per_second": rate,
                    "prompt_per_second": prompt / 0.012,
                    "cache_n": 0,
                },
            }
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    server = Server(args.port)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    threading.Thread(
        target=lambda: (sys.stdin.read(), server.shutdown()) if not sys.stdin.isatty() else None, daemon=True
    ).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
