// The words: one sentence for what happened, from an event and the model after it. What a client sent comes
// in quotes and is only ever text.

import { STEP, WHY } from "./stages.js";

// 253 µs, 1.42 ms, 3.1 s: three digits say enough.
export function time(nanoseconds) {
  if (nanoseconds < 1e6) return `${(nanoseconds / 1e3).toPrecision(3).replace(/\.0+$/, "")} µs`;
  if (nanoseconds < 1e9) return `${(nanoseconds / 1e6).toPrecision(3)} ms`;
  return `${(nanoseconds / 1e9).toPrecision(3)} s`;
}

export function bytes(count) {
  if (count < 10_000) return count === 1 ? "1 byte" : `${count} bytes`;
  return count < 1e7 ? `${Math.round(count / 1024)} KiB` : `${(count / 1048576).toFixed(1)} MiB`;
}

const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// A sentence, or null where the event needs none of its own.
export function sentence(event, model) {
  const say = sentences[event.e];
  return say ? say(event, model) : null;
}

const sentences = {
  hello: (event) => `The server is watched from here on; ${many(event.open.length, "connection")} open already.`,
  opened: (event) => `c${event.c} connects.`,
  partial(event, model) {
    const deadline = model.lanes.get(event.c)?.deadline;
    const left = deadline ? deadline.begun + deadline.ms * 1e6 - event.t : 0;
    return `c${event.c}: ${many(event.have, "byte")} of a ${event.part}, not whole. ` +
      `It has ${time(Math.max(0, left))} more, and further bytes do not change that.`;
  },
  synced(event, model) {
    if (event.begun !== undefined) {
      return `In the background: ${many(event.sets, "set")}, up to batch ${event.batch}, ${event.sets === 1 ? "is" : "are"} ` +
        `on the disk now; the sync took ${time(event.t - event.begun)}.`;
    }
    const it = model.batches.get(event.batch);
    const took = it?.journaled === undefined ? "" : `, which took ${time(event.t - it.journaled)}`;
    return `Batch ${event.batch}: ${many(event.sets, "set")} ${event.sets === 1 ? "has" : "share"} one sync${took}.`;
  },
  written(event, model) {
    const requests = model.lanes.get(event.c)?.requests.filter((it) => it.written === event.t) ?? [];
    const shared = event.answers > 1 ? `c${event.c}: ${event.answers} answers in one write. ` : "";
    return shared + requests.map((it) => one(it, model)).join(" ");
  },
  closed: (event) => `c${event.c} is closed: ${WHY[event.why] ?? event.why}.`,
  file: (event) => `The file, ${bytes(event.bytes)}: ${STEP[event.step] ?? event.step}.`,
  lost: (event) => `Too much happened to show all: ${many(event.requests, "whole request")} and ` +
    `${many(event.connections, "whole connection")} are not here.`,
};

// c7: 200 after 253 µs, of which 64 µs waited for the disk.
function one(it, model) {
  const synced = model.batches.get(it.batch)?.synced;
  const joined = it.stages.find((stage) => stage.e === "joined")?.t;
  const disk = synced !== undefined && joined !== undefined ? `, of which ${time(synced - joined)} waited for the disk` : "";
  const why = it.sentence ? ` “${it.sentence}”` : "";
  return `c${it.c}: ${it.status ?? "answered"} after ${time(it.written - it.begun)}${disk}.${why}`;
}
