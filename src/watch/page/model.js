// The model: what is there after some events. No document, no clock: a function from a model and an event to
// the model, so that a step back is the same fold over one event less.
//
// Everything in it is bounded. A page that is open for a day must not grow.

const LANES = 200; // connections that are remembered
const CLOSED = 8; // of which so many have ended
const REQUESTS = 4; // the last requests of a connection
const TILES = 64; // the packets of one request
const STAGES = 40; // its stages
const TEXT = 256; // the bytes of a packet
const BATCHES = 6;
const STEPS = 8;

export function empty() {
  return {
    hello: null, now: 0, lanes: new Map(), batches: new Map(), lost: { requests: 0, connections: 0 },
    file: null, steps: [],
  };
}

// Changes the model by one event.
export function apply(model, event) {
  model.now = Math.max(model.now, event.t);
  const change = changes[event.e];
  if (change) change(model, event);
}

export function fold(events, model = empty()) {
  for (const event of events) apply(model, event);
  return model;
}

const changes = {
  hello(model, event) {
    Object.assign(model, empty(), { hello: event, now: event.t, file: event.file });
    for (const open of event.open) lane(model, open.c, open.peer).state = open.state;
  },
  opened(model, event) {
    lane(model, event.c, event.peer);
  },
  bytes_read(model, event) {
    const at = lane(model, event.c);
    if (at.state !== "answering") at.state = "begun";
    const { tiles } = request(at, event);
    if (tiles.length < TILES) tiles.push({ n: event.n, text: event.text, t: event.t });
    else {
      // A body may come in a million packets: from here on they are told as one.
      const last = tiles.at(-1);
      Object.assign(last, { n: last.n + event.n, text: (last.text + event.text).slice(-TEXT) });
    }
    stage(at, event);
  },
  partial(model, event) {
    const at = lane(model, event.c);
    at.state = "begun";
    const limits = model.hello?.limits;
    const time = event.part === "head" ? limits?.head_ms : limits?.body_ms;
    at.deadline = { part: event.part, begun: event.begun, ms: time ?? 10_000 };
    stage(at, event);
  },
  parsed(model, event) {
    const at = lane(model, event.c);
    at.state = "answering";
    at.deadline = null;
    request(at, event).line = `${event.method} ${event.path}${event.query ? `?${event.query}` : ""}`;
    stage(at, event);
  },
  joined(model, event) {
    const it = batch(model, event.batch);
    it.sets.push({ c: event.c, r: event.r, t: event.t, leads: event.leads });
    const set = request(lane(model, event.c), event);
    set.batch = event.batch;
    stage(lane(model, event.c), event);
  },
  journaled(model, event) {
    Object.assign(batch(model, event.batch), { journaled: event.t, n: event.n, at: event.at, count: event.sets });
    // How many of the new lines have new keys is not told: at most all of them.
    const keys = Math.min(event.records, event.keys + event.sets);
    model.file = { bytes: event.at + event.n, records: event.records, keys };
    // Unless its sets are answered before they are on the disk, they wait for the sync.
    if (model.hello && model.hello.sync !== "always") batch(model, event.batch).done = event.t;
  },
  synced(model, event) {
    if (event.begun === undefined) {
      Object.assign(batch(model, event.batch), { synced: event.t, done: event.t, count: event.sets });
      return;
    }
    // In the background: for all batches up to this one.
    for (const it of model.batches.values()) if (it.batch <= event.batch) it.safe ??= event.t;
  },
  answered(model, event) {
    const at = lane(model, event.c);
    Object.assign(request(at, event), { status: event.status, sentence: event.sentence });
    stage(at, event);
  },
  written(model, event) {
    const at = lane(model, event.c);
    at.state = "idle";
    at.deadline = null;
    // One write may have the answers of several requests: this one's, and those before it. Of a flood, some
    // were not recorded: then the write is told of the last one that was.
    const sent = at.requests.filter((it) => it.r <= event.r);
    for (const it of sent) it.written ??= event.t;
    const last = sent.at(-1);
    if (last && last.stages.length < STAGES) last.stages.push(event);
  },
  closed(model, event) {
    const at = lane(model, event.c);
    Object.assign(at, { state: "closed", why: event.why, ended: event.t, deadline: null });
  },
  file(model, event) {
    model.steps.push({ step: event.step, bytes: event.bytes, t: event.t });
    if (model.steps.length > STEPS) model.steps.shift();
    if (["opened", "replaced", "started_over"].includes(event.step)) {
      model.file = { bytes: event.bytes, records: event.records, keys: event.keys ?? event.records };
    }
  },
  lost(model, event) {
    model.lost.requests += event.requests;
    model.lost.connections += event.connections;
  },
};
for (const e of ["routed", "decoded", "locked"]) {
  changes[e] = (model, event) => {
    if (event.c !== undefined && event.r !== undefined) stage(lane(model, event.c), event);
  };
}

function lane(model, c, peer = "?") {
  if (!model.lanes.has(c)) {
    model.lanes.set(c, { c, peer, state: "idle", deadline: null, requests: [] });
    // Those that have ended make room first.
    const ended = [...model.lanes.values()].filter((it) => it.state === "closed");
    for (const old of ended.slice(0, Math.max(0, ended.length - CLOSED))) model.lanes.delete(old.c);
    if (model.lanes.size > LANES) model.lanes.delete(model.lanes.keys().next().value);
  }
  return model.lanes.get(c);
}

function request(at, event) {
  let it = at.requests.find((found) => found.r === event.r);
  if (!it) {
    it = { c: event.c, r: event.r, begun: event.t, tiles: [], stages: [] };
    at.requests.push(it);
    if (at.requests.length > REQUESTS) at.requests.shift();
  }
  return it;
}

function stage(at, event) {
  const it = request(at, event);
  if (it.stages.length < STAGES) it.stages.push(event);
}

function batch(model, number) {
  if (!model.batches.has(number)) {
    model.batches.set(number, { batch: number, sets: [] });
    if (model.batches.size > BATCHES) model.batches.delete(model.batches.keys().next().value);
  }
  return model.batches.get(number);
}
