// Saving and opening: what was recorded, as the JSON lines that the server writes with --trace-file, or as
// Chrome's trace format, which ui.perfetto.dev and chrome://tracing open.

export function lines(events) {
  return events.map((event) => JSON.stringify(event) + "\n").join("");
}

// The events in a saved file. A line that is no event is left out and counted.
export function parse(text) {
  const events = [];
  let bad = 0;
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    try {
      const event = JSON.parse(line);
      if (typeof event.t === "number" && typeof event.e === "string") events.push(event);
      else bad += 1;
    } catch {
      bad += 1;
    }
  }
  return { events, bad };
}

// Each connection is a track. A request is a slice from its first byte to its answer, its stages are marks
// in it, and a sync is a slice on a track of its own. Times are in microseconds there.
export function chrome(events) {
  const out = [];
  const begun = new Map();
  const journaled = new Map();
  const micros = (t) => t / 1000;
  for (const event of events) {
    const { t, c, r, e, ...args } = event;
    if (e === "opened") out.push({ ph: "M", name: "thread_name", pid: 1, tid: c, args: { name: `c${c} ${event.peer}` } });
    if (e === "bytes_read" && !begun.has(`${c}/${r}`)) begun.set(`${c}/${r}`, t);
    if (e === "journaled") journaled.set(event.batch, t);
    const from = event.begun ?? journaled.get(event.batch);
    if (e === "synced" && from !== undefined) {
      out.push({ ph: "X", name: `sync, ${event.sets} sets`, pid: 2, tid: 0, ts: micros(from), dur: micros(t - from), args });
    } else if (e === "answered") {
      const from = begun.get(`${c}/${r}`) ?? t;
      out.push({ ph: "X", name: `request ${r}: ${event.status}`, pid: 1, tid: c, ts: micros(from), dur: micros(t - from), args });
    } else if (c !== undefined) {
      out.push({ ph: "i", s: "t", name: e, pid: 1, tid: c, ts: micros(t), args });
    }
  }
  out.push({ ph: "M", name: "process_name", pid: 1, args: { name: "connections" } });
  out.push({ ph: "M", name: "process_name", pid: 2, args: { name: "the disk" } });
  return JSON.stringify({ displayTimeUnit: "ns", traceEvents: out });
}

// Offers a text as a file.
export function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
