// The view: the model, as lists. The lists are the content, in words; colours and bars are decoration. What a
// client sent becomes text nodes and nothing else (the page's policy has no way to make HTML of a string).
//
// No more than LANES lanes are drawn, whatever happens: a flood is a number.

import { STAGES, STEP } from "./stages.js";
import { bytes, time } from "./words.js";

const LANES = 8;
const WORDS = 60;

const $ = (id) => document.getElementById(id);

// An element with text or children.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Draws the whole model. Called at most once for each frame.
export function draw(model) {
  const all = [...model.lanes.values()];
  // Those on which something happens are drawn first; of the rest the latest.
  const order = { begun: 0, answering: 0, idle: 1, closed: 2 };
  const drawn = all.sort((a, b) => order[a.state] - order[b.state] || b.c - a.c).slice(0, LANES);
  drawn.sort((a, b) => a.c - b.c);
  $("lanes").replaceChildren(...drawn.map((it) => lane(it, model)));
  $("lanes-hint").hidden = all.length > 0;
  const more = all.length - drawn.length;
  $("more-lanes").textContent = more > 0 ? `and ${more} more` : "";
  const batches = [...model.batches.values()].reverse();
  $("batches").replaceChildren(...batches.map((it) => batch(it)));
  $("batches-hint").hidden = batches.length > 0;
  file(model);
  server(model);
}

function server({ hello, lost }) {
  if (!hello) return;
  const { version, kept, sync, limits } = hello;
  const syncs = NO_FILE[kept] ? "" : ` --sync ${sync},`;
  $("server").textContent = `dbserver ${version},${syncs} at most ${limits.connections} connections; ` +
    `a head has ${limits.head_ms / 1000} s, a body ${limits.body_ms / 1000} s, silence ${limits.idle_ms / 1000} s.`;
  const { requests, connections } = lost;
  $("lost").textContent = requests + connections === 0 ? "" :
    `${requests} requests and ${connections} connections are not shown: too much happened at once.`;
}

// Where the pairs are, if not in a file.
const NO_FILE = {
  memory: "There is none: the pairs are in memory.",
  etcd: "There is none: the pairs are in an etcd cluster.",
};

const STATES = { idle: "idle", begun: "a request has begun", answering: "answering", closed: "closed" };

function lane(at, model) {
  const head = make("h3", {}, `c${at.c} `, make("span", { class: "peer" }, at.peer), " ",
    make("span", { class: "state" }, at.why ? `${STATES[at.state]}: ${at.why}` : STATES[at.state]));
  const item = make("li", { class: "lane", "data-state": at.state, "data-c": at.c }, head);
  if (at.deadline) item.append(deadline(at.deadline, model.now));
  for (const it of at.requests.slice(-2)) item.append(request(it, at));
  return item;
}

// The time that is left. A byte that comes does not refill it.
function deadline({ part, begun, ms }, now) {
  const bar = make("p", { class: "deadline", "data-begun": begun, "data-part": part, "data-ms": ms },
    make("meter", { min: 0, max: ms, low: ms / 3, "aria-label": `time left for the ${part}` }), " ", make("span"));
  run(bar, now);
  return bar;
}

function run(bar, now) {
  const { begun, ms, part } = bar.dataset;
  const left = Math.max(0, ms - (now - begun) / 1e6);
  bar.querySelector("meter").value = left;
  bar.querySelector("span").textContent = `${part}: ${(left / 1000).toFixed(1)} s left of ${ms / 1000} s`;
}

// Lets the deadlines run down while nothing happens.
export function pass(now) {
  for (const bar of document.querySelectorAll(".deadline")) run(bar, now);
}

function request(it, at) {
  const title = make("h4", {}, `request ${it.r} `, it.line ? make("code", {}, it.line) : "", " ",
    it.status ? make("strong", { class: it.status < 400 ? "good" : "bad" }, String(it.status)) : "");
  const box = make("div", { class: "request" }, title);
  if (it.tiles.length === 0 && it.line) box.append(make("p", { class: "hint" }, "came in the packet of the request before it"));
  if (it.tiles.length > 0) box.append(make("ol", { class: "tiles", "aria-label": "packets" }, ...tiles(it.tiles)));
  const stages = it.stages.filter(({ e }) => e !== "bytes_read");
  box.append(make("ol", { class: "stages", "aria-label": `stages of request ${it.r} on c${at.c}` },
    ...stages.slice(-14).map((event) => stage(event, it))));
  return box;
}

// The packets of a request. The four bytes of the empty line light up, across a cut too.
function tiles(packets) {
  const tokens = packets.flatMap(({ text }, tile) =>
    (text.match(/\\x[0-9a-f]{2}|\\.|[^]/g) ?? []).map((token) => ({ token, tile })));
  const end = tokens.findIndex((_, i) =>
    ["\\r", "\\n", "\\r", "\\n"].every((wanted, k) => tokens[i + k]?.token === wanted));
  const lit = (i) => end >= 0 && i >= end && i < end + 4;
  return packets.map(({ n, text }, tile) => {
    const code = make("code", { class: "bytes" });
    let run = "";
    const flush = () => { if (run) code.append(run); run = ""; };
    tokens.forEach(({ token, tile: of }, i) => {
      if (of !== tile) return;
      if (lit(i)) {
        flush();
        code.append(make("mark", { title: "the empty line: here the head ends" }, token));
      } else if (token === "\\r" || token === "\\n") {
        flush();
        code.append(make("span", { class: "eol" }, token));
      } else run += token;
      if (token === "\\n") { flush(); code.append("\n"); }
    });
    flush();
    const cut = text.length >= 256 ? " …" : "";
    return make("li", { class: "tile" }, make("span", { class: "count" }, bytes(n)), " ", code, cut);
  });
}

const DETAILS = {
  parsed: (event) => `${event.head} bytes of head`,
  routed: (event) => event.path,
  decoded: (event) => (event.value === undefined ? event.key : `${event.key} = ${event.value}`),
  locked: (event) => `part ${event.shard} of the map`,
  joined: (event) => `batch ${event.batch}${event.leads ? ", and writes it for all" : ""}`,
  partial: (event) => `${event.have} bytes`,
  answered: (event) => `${event.status}, ${bytes(event.n)}`,
  written: (event) => (event.answers > 1 ? `${event.answers} answers in one write` : bytes(event.n)),
};

function stage(event, it) {
  const { name, file, chapter } = STAGES[event.e];
  const detail = DETAILS[event.e]?.(event) ?? "";
  const where = `${file}, tutorial chapter ${chapter}`;
  return make("li", { class: "stage", "data-e": event.e, title: where },
    make("span", { class: "t" }, `+${time(event.t - it.begun)}`), " ",
    make("span", {}, make("span", { class: "name" }, name), " ", make("span", { class: "detail" }, detail), " ",
      make("span", { class: "where" }, where)));
}

function batch(it) {
  const waits = it.sets.slice(0, 32).map((set) => {
    const waited = it.done === undefined ? "waits" : time(it.done - set.t);
    return make("li", { "data-leads": set.leads }, `c${set.c}${set.leads ? " writes for all" : ""}: ${waited}`);
  });
  const hidden = it.sets.length - waits.length;
  if (hidden > 0) waits.push(make("li", {}, `and ${hidden} more`));
  const count = it.count ?? it.sets.length;
  const state = it.synced !== undefined ? `one append, one sync of ${time(it.synced - (it.journaled ?? it.synced))}` :
    it.safe !== undefined ? `one append; on the disk ${time(it.safe - (it.journaled ?? it.safe))} later` :
    it.done !== undefined ? "appended and answered, and not on the disk yet" :
    it.journaled !== undefined ? "appended, and being synced …" : "open: others may join";
  return make("li", { class: "batch", "data-batch": it.batch },
    make("h3", {}, `Batch ${it.batch}: ${count} set${count === 1 ? "" : "s"}`), make("p", {}, state),
    make("ol", { class: "waits" }, ...waits));
}

function file(model) {
  const { hello, file: it, steps } = model;
  $("file-bar").hidden = !it;
  if (!it) $("file-words").textContent = NO_FILE[hello?.kept] ?? "Nothing is known of it yet.";
  else {
    const live = it.records === 0 ? 1 : Math.min(1, it.keys / it.records);
    $("file-words").textContent = `${bytes(it.bytes)}, ${it.records === 1 ? "1 line" : `${it.records} lines`}, of which about ` +
      `${Math.max(0, it.records - it.keys)} dead: a later line has the key.`;
    // Grid columns are set by a stylesheet that the page owns: inline styles are not allowed here.
    $("file-live").dataset.tenths = Math.round(live * 10);
  }
  $("file-steps").replaceChildren(...steps.map((step) =>
    make("li", { "data-step": step.step }, `${bytes(step.bytes)}: ${STEP[step.step] ?? step.step}`)));
}

// Adds sentences to the log, which keeps the last ones.
export function say(sentences) {
  const log = $("words");
  for (const sentence of sentences) log.append(make("li", {}, sentence));
  while (log.children.length > WORDS) log.firstChild.remove();
  log.scrollTop = log.scrollHeight;
}

export function forget() {
  $("words").replaceChildren();
}

export function player({ mode, place, events, dropped }) {
  for (const [id, on] of [["live", mode === "live"], ["slow", mode === "slow"], ["pause", mode === "pause"]]) {
    $(id).setAttribute("aria-pressed", String(on));
  }
  $("scrubber").max = events.length;
  $("scrubber").value = place;
  $("place").textContent = `${dropped + place} of ${dropped + events.length}`;
}
