// The player: a list of events and a place in it. Live follows the end; slow walks, one event at a time;
// pause stays. A step back is the same fold over one event less.
//
// The list is bounded: what is dropped at its beginning is folded into the model that the rest begins with.

import { apply, empty, fold } from "./model.js";

const KEPT = 5000;
const CHECKPOINT = 250; // between two copies of the model, so that a step back is short
export const SLOW = 600; // milliseconds between two events

export class Player {
  constructor() {
    this.clear();
    this.mode = "live";
  }

  clear() {
    this.events = [];
    this.dropped = 0; // events before the first of the list
    this.place = 0; // how many of the list have been shown
    this.base = empty();
    this.model = empty();
    this.checkpoints = new Map();
  }

  // Takes an event of a stream. Everything begins anew with a hello.
  take(event) {
    if (event.e === "hello" && this.mode === "live") this.clear();
    this.events.push(event);
    if (this.events.length > KEPT * 1.2) this.drop(this.events.length - KEPT);
  }

  drop(count) {
    const gone = this.events.splice(0, count);
    fold(gone, this.base);
    this.dropped += count;
    this.checkpoints.clear();
    if (this.place < count) this.model = structuredClone(this.base);
    this.place = Math.max(0, this.place - count);
  }

  // Goes on by at most so many events, and returns those, each with the model after it where `each` asks.
  advance(most, each = () => {}) {
    const end = Math.min(this.events.length, this.place + most);
    while (this.place < end) {
      const event = this.events[this.place];
      apply(this.model, event);
      this.place += 1;
      if (this.place % CHECKPOINT === 0) this.checkpoints.set(this.place, structuredClone(this.model));
      each(event, this.model);
    }
  }

  // Goes to a place, forwards or back.
  seek(place) {
    const wanted = Math.max(0, Math.min(place, this.events.length));
    if (wanted < this.place) {
      const near = [...this.checkpoints.keys()].filter((it) => it <= wanted).sort((a, b) => a - b).pop();
      this.model = structuredClone(near === undefined ? this.base : this.checkpoints.get(near));
      this.place = near ?? 0;
    }
    this.advance(wanted - this.place);
  }

  // The last events that were shown, for the words after a jump.
  recent(count) {
    return this.events.slice(Math.max(0, this.place - count), this.place);
  }
}
