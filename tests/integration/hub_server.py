#!/usr/bin/env python3
"""A small Hugging Face hub on the loopback interface, for tests of downloads.

    hub_server.py FOLDER [PEM]    prints its endpoint; ends when its standard input closes

With PEM, a certificate for localhost and its key, it speaks TLS.

FOLDER/ORG/NAME/... are the files of the repository ORG/NAME, in one commit. Files of 100 bytes and more are "large": named
by their SHA-256 and redirected to a second port, as the hub redirects them to another host. Repositories whose names begin
with "private" or "gated" want the token "secret". Tests steer and watch it through files beside the repositories:

    FOLDER/faults.json     [{"path": "PART OF A PATH", "times": N, "do": "...", ...}]: the first that fits a GET of a file
                           or of a list and has times left is done: "status" (with "code" and perhaps "headers"),
                           "cut" (after "bytes" of the body), "flip" (a bit of the body), "whole" (ignores the range),
                           "cut-whole" (both),
                           "wrong-part" (sends another range than asked for)
    FOLDER/requests.log    one line per request: port, method, path, Range, Authorization
"""
import hashlib
import http.server
import json
import pathlib
import ssl
import sys
import threading
import urllib.parse

ROOT = pathlib.Path(sys.argv[1])
CERTIFICATE = sys.argv[2] if len(sys.argv) > 2 else None
BASE = "https://localhost" if CERTIFICATE else "http://127.0.0.1"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = ("main", "v1", "refs/pr/1", COMMIT)
LARGE = 100
LOCK = threading.Lock()
ports = {}


def take_fault(path):
    with LOCK:
        file = ROOT / "faults.json"
        faults = json.loads(file.read_text()) if file.exists() else []
        for fault in faults:
            if fault["path"] in path and fault["times"] > 0:
                fault["times"] -= 1
                file.write_text(json.dumps(faults))
                return fault
    return {"do": "nothing"}


def etag_of(content):
    if len(content) >= LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def note(self):
        with LOCK, open(ROOT / "requests.log", "a") as log:
            log.write(" ".join([self.server.name, self.command, self.path, self.headers.get("Range", "-"),
                                self.headers.get("Authorization", "-").replace(" ", "_")]) + "\n")

    def answer(self, status, body=b"", headers=None, cut=None):
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    def do_HEAD(self):
        self.note()
        self.hub(urllib.parse.unquote(self.path.split("?")[0]))

    def do_GET(self):
        self.note()
        path = urllib.parse.unquote(self.path.split("?")[0])
        fault = take_fault(path)
        if fault["do"] == "status":
            self.answer(fault["code"], b"busy", fault.get("headers", {}))
        elif path.startswith("/cdn/"):
            self.send_content((ROOT / path[len("/cdn/"):]).read_bytes(), {}, fault)
        else:
            self.hub(path, fault)

    def hub(self, path, fault=None):
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self.listing("/".join(parts[2:4]), "/".join(parts[5:]), fault)
        if "resolve" not in parts:
            return self.answer(404)
        at = parts.index("resolve")
        repo, revision, name = "/".join(parts[:at]), parts[at + 1], "/".join(parts[at + 2:])
        if not self.allowed(repo):
            return None
        file = ROOT / repo / name
        if revision not in REVISIONS or not file.is_file():
            return self.answer(404, headers={"X-Error-Code": "EntryNotFound"})
        content = file.read_bytes()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag_of(content)}"'}
        if len(content) < LARGE:
            return self.send_content(content, headers, fault or {"do": "nothing"})
        headers.update({"X-Linked-Etag": headers.pop("ETag"), "X-Linked-Size": str(10**15 if file.stem == "huge" else len(content)),
                        "Location": f"{BASE}:{ports['cdn']}/cdn/{urllib.parse.quote(repo + '/' + name)}?signature=1"})
        return self.answer(302, headers=headers)

    def allowed(self, repo):
        name = repo.split("/")[-1]
        if self.headers.get("Authorization") != "Bearer secret":
            if name.startswith("gated"):
                self.answer(403, headers={"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."})
                return False
            if name.startswith("private"):
                self.answer(401, headers={"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
                return False
        if name.startswith("moved-"):
            self.answer(307, headers={"Location": self.path.replace(name, name[len("moved-"):])})
            return False
        return True

    def listing(self, repo, revision, fault):
        if not self.allowed(repo):
            return None
        folder = ROOT / repo
        if not folder.is_dir():
            return self.answer(404, headers={"X-Error-Code": "RepoNotFound"})
        if revision not in REVISIONS:
            return self.answer(404, headers={"X-Error-Code": "RevisionNotFound"})
        files = sorted(f for f in folder.rglob("*") if f.is_file())
        siblings = [{"rfilename": str(f.relative_to(folder)), "size": f.stat().st_size} for f in files]
        extra = ROOT / "siblings.json"
        if extra.exists():
            siblings += json.loads(extra.read_text())
        return self.send_content(json.dumps({"id": repo, "sha": COMMIT, "siblings": siblings}).encode(), {},
                                 fault or {"do": "nothing"})

    def send_content(self, content, headers, fault):
        wanted = self.headers.get("Range")
        begin = 0
        status = 200
        if wanted and self.command == "GET" and fault["do"] not in ("whole", "cut-whole"):
            begin = int(wanted.removeprefix("bytes=").split("-")[0])
            if begin >= len(content):
                return self.answer(416, headers={"Content-Range": f"bytes */{len(content)}"})
            if fault["do"] == "wrong-part":
                begin += 1
            status = 206
            headers = {**headers, "Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}
        body = content[begin:]
        if fault["do"] == "flip":
            body = bytes([body[0] ^ 1]) + body[1:]
        headers = {**headers, "Content-Length": str(len(body))}
        return self.answer(status, body, headers, fault["bytes"] if fault["do"] in ("cut", "cut-whole") else None)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that go away in the middle are what some tests are about."""


def main():
    for name in ("hub", "cdn"):
        server = Server(("127.0.0.1", 0), Handler)
        server.name = name
        if CERTIFICATE:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        ports[name] = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"{BASE}:{ports['hub']}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
