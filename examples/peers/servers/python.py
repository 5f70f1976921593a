"""In Python: http.server of its standard library, a thread for each connection."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

pairs = {}


class Handler(BaseHTTPRequestHandler):
    # The default is HTTP/1.0, with a connection for each request.
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: Nagle's algorithm would hold the second one back for 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self):
        url = urlsplit(self.path)
        match url.path, parse_qsl(url.query):
            # parse_qsl leaves out a field whose value is empty.
            case "/set", [(key, value)] if key:
                pairs[key] = value
                self.answer(200)
            case "/get", [("key", key)] if key in pairs:
                self.answer(200, pairs[key])
            case "/get", [("key", _)]:
                self.answer(404)
            case _:
                self.answer(500)

    def answer(self, status, value=""):
        body = value.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """No line per request: none of the others writes one."""


class Server(ThreadingHTTPServer):
    # The default is 5: of a thousand clients that come at once, most would have to try again.
    request_queue_size = 1024
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
