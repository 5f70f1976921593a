#!/usr/bin/env python3
"""The server that this task is known from, retold: pairs in memory, by GET, one client at a time.

It stands for what a candidate writes in the first half hour with a standard library: 200, 404 and
500 as the conventions say, 501 for other methods, HTTP/1.0, and nothing left after a restart.

usage: simple_db_server.py [--port PORT]
"""

import argparse
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

pairs = {}

# Bytes go in and come out as they are: each is one character of Latin-1, whatever it means.
BYTES = "latin-1"


class Handler(BaseHTTPRequestHandler):
    """Answers one request; the base class reads it, and answers 501 to all but GET."""

    def do_GET(self):
        target = urlsplit(self.path)
        # When this was first written, `;` separated fields just as `&` does.
        fields = parse_qs(target.query.replace(";", "&"), encoding=BYTES)
        if target.path not in ("/set", "/get"):
            return self.send_error(500, "There is /set?<key>=<value> and /get?key=<key>")
        if len(fields) != 1:
            return self.send_error(500, "The query is one field and its value")
        [(name, values)] = fields.items()
        if target.path == "/set":
            pairs[name] = values[0]
            return self.answer(200, "")
        if name != "key":
            return self.send_error(500, "The field is called key: /get?key=<key>")
        if values[0] in pairs:
            return self.answer(200, pairs[values[0]])
        return self.answer(404, "")

    def answer(self, status, body):
        """No Content-Length: in HTTP/1.0 the body ends with the connection."""
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(body.encode(BYTES))


def main():
    parser = argparse.ArgumentParser(description="A key-value store over HTTP, in memory.")
    parser.add_argument("-p", "--port", type=int, default=4000)
    server = HTTPServer(("localhost", parser.parse_args().port), Handler)
    print("Started on port", server.server_port, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
    print("Stopped", flush=True)


if __name__ == "__main__":
    main()
