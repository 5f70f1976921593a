// A key-value store over HTTP, in memory.
//
// usage: node server.ts [PORT] [FILE]       (Node 22.18 or later; before: npx tsx server.ts)
//
// HTTP is done, at the foot of this file. The work is at the top: restart the program, and
// everything is gone.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** The pairs. One request is served after the other, but for the places where one awaits. */
class Store {
  path: string | undefined; // the second argument of the command line
  pairs = new Map<string, string>();

  constructor(path: string | undefined) {
    this.path = path;
  }

  /** Stores a pair; what it throws is answered with 500. */
  async set(key: string, value: string): Promise<void> {
    this.pairs.set(key, value);
  }

  async get(key: string): Promise<string | undefined> {
    return this.pairs.get(key);
  }
}

// What follows is HTTP, and done.

/** The only pair of a query: `somekey=somevalue`. */
function onePair(query: string): [string, string] {
  const pieces = query.split("&").filter((piece) => piece !== "");
  const equals = pieces.length === 1 ? pieces[0].indexOf("=") : -1;
  if (equals < 1 || equals === pieces[0].length - 1) {
    throw new Error("the query is one pair, <key>=<value>");
  }
  return [decode(pieces[0].slice(0, equals)), decode(pieces[0].slice(equals + 1))];
}

/** `+` is a space and `%XX` a byte; a `%` that is no escape stays. Throws where that is not UTF-8. */
function decode(text: string): string {
  const escaped = text.replaceAll("+", " ").replace(/%(?![0-9a-fA-F]{2})/g, "%25");
  // Node hands the target over with each byte as a character.
  const bytes = Buffer.from(escaped, "latin1").toString("latin1");
  const raw = bytes.replace(/%([0-9a-fA-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(raw, "latin1"));
}

async function serve(request: IncomingMessage): Promise<[number, string]> {
  const target = (request.url ?? "").replace(/^http:\/\/[^/?]*/i, "");
  const [path, ...rest] = target.split("?");
  const query = rest.join("?");
  if (request.method === "GET" && path === "/set") {
    const [key, value] = onePair(query);
    await store.set(key, value);
    return [200, ""];
  }
  if ((request.method === "GET" || request.method === "HEAD") && path === "/get") {
    const [field, key] = onePair(query);
    if (field !== "key") throw new Error("the field is called key");
    const value = await store.get(key);
    return value === undefined ? [404, ""] : [200, value];
  }
  throw new Error("there is no such request");
}

/** Whether there is more than one Host field: Node takes the first. */
function hasTwoHosts(request: IncomingMessage): boolean {
  const names = request.rawHeaders.filter((_, index) => index % 2 === 0);
  return names.filter((name) => name.toLowerCase() === "host").length > 1;
}

function answer(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    "Content-Type": "text/plain; charset=utf-8",
    "Content-Length": Buffer.byteLength(body),
  });
  response.end(body);
}

const [port, file] = process.argv.slice(2);
const store = new Store(file);
const server = createServer({ requestTimeout: 40_000, headersTimeout: 10_000 }, (request, response) => {
  request.resume();
  request.on("error", () => {});
  if (hasTwoHosts(request)) {
    response.shouldKeepAlive = false;
    return answer(response, 400, "one Host field is needed");
  }
  serve(request).then(
    ([status, body]) => answer(response, status, body),
    (error: Error) => answer(response, 500, `${error.message}: use /set?<key>=<value> or /get?key=<key>`),
  );
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port ?? 4000), "127.0.0.1", () => {
  console.log(`Started on http://localhost:${(server.address() as AddressInfo).port}/`);
});
