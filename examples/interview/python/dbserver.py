#!/usr/bin/env python3
"""A key-value store over HTTP, in memory.

usage: dbserver.py [PORT] [FILE]

HTTP is done, at the foot of this file. The work is at the top: restart the program, and everything
is gone.
"""

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import unquote_to_bytes


class Store:
    """The pairs. Requests come from several threads at a time."""

    def __init__(self, path):
        self.path = path  # the second argument of the command line, or None
        self.lock = Lock()
        self.pairs = {}

    def set(self, key, value):
        with self.lock:
            self.pairs[key] = value

    def get(self, key):
        """The value, or None."""
        with self.lock:
            return self.pairs.get(key)


# What follows is HTTP, and done.


def one_pair(query):
    """The only pair of a query: `somekey=somevalue`."""
    pairs = [piece.split("=", 1) for piece in query.split("&") if piece]
    if len(pairs) != 1 or len(pairs[0]) != 2 or "" in pairs[0]:
        raise ValueError("the query is one pair, <key>=<value>")
    return [unquote_to_bytes(half.replace("+", " ")).decode("utf-8") for half in pairs[0]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def parse_request(self):
        """As the base class does, but also strict where a request ends."""
        if not super().parse_request():
            return False
        lengths = self.headers.get_all("Content-Length", [])
        options = ",".join(self.headers.get_all("Connection", [])).lower().split(",")
        if "close" in [option.strip() for option in options]:
            self.close_connection = True
        if self.request_version != "HTTP/1.0" and len(self.headers.get_all("Host", [])) != 1:
            return self.refuse(400, "one Host field is needed")
        if "Transfer-Encoding" in self.headers:
            return self.refuse(501, "bodies in chunks are not read here")
        if len(set(lengths)) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
            return self.refuse(400, "Content-Length is not one number")
        length = int(lengths[0]) if lengths else 0
        if length > 1 << 20:
            return self.refuse(413, "the body is too large")
        self.rfile.read(length)
        return True

    def refuse(self, status, why):
        self.close_connection = True
        self.answer(status, why)
        return False

    def serve(self):
        path, _, query = re.sub("^http://[^/?]*", "", self.path, flags=re.I).partition("?")
        store = self.server.store
        try:
            if (self.command, path) == ("GET", "/set"):
                store.set(*one_pair(query))
                return self.answer(200, "")
            if self.command in ("GET", "HEAD") and path == "/get":
                field, key = one_pair(query)
                if field != "key":
                    raise ValueError("the field is called key")
                value = store.get(key)
                return self.answer(404, "") if value is None else self.answer(200, value)
            raise ValueError("there is no such request")
        except ValueError as error:
            self.answer(500, f"{error}: use /set?<key>=<value> or /get?key=<key>")

    def __getattr__(self, name):
        # The base class looks for a method do_GET, do_POST … : all of them are `serve`.
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def answer(self, status, text):
        body = text.encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # a client that has left


if __name__ == "__main__":
    arguments = sys.argv[1:] + [None, None][len(sys.argv[1:]) :]
    server = Server(("127.0.0.1", int(arguments[0] or 4000)), Handler)
    server.store = Store(arguments[1])
    print(f"Started on http://localhost:{server.server_port}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
