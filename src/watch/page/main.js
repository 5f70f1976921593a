// The page: events come from the server, from a moment that was recorded, or from a file; a player shows them.
// The server never waits for this page: what is slow here is the replay, and the times are true.

import { MOMENTS } from "./moments.js";
import { Player, SLOW } from "./player.js";
import { chrome, download, lines, parse } from "./save.js";
import { draw, forget, pass, player as drawPlayer, say } from "./view.js";
import { sentence } from "./words.js";

const FRAME = 100; // milliseconds between two drawings: more is not seen, and costs
const PER_FRAME = 2000; // events that are taken in between two drawings
const SPOKEN = 12; // sentences for each drawing: of a flood, the last ones
const SYNCS = 24; // and of those about syncs and the file, which tell most
const FOLDED = 1e9; // a silence of more than this many nanoseconds is folded, and said

const $ = (id) => document.getElementById(id);
const player = new Player();
let source = null;
let stepAt = 0;

// ---- What is shown

function show(count) {
  const said = [];
  let before = player.model.now;
  player.advance(count, (event, model) => {
    if (event.t - before > FOLDED && before > 0) said.push(`… ${((event.t - before) / 1e9).toFixed(1)} s of silence, folded …`);
    before = event.t;
    const words = sentence(event, model);
    if (words) said.push(words);
  });
  const chosen = new Set([...said.filter((it) => /^(Batch|In the background|The file)/.test(it)).slice(-SYNCS), ...said.slice(-SPOKEN)]);
  if (said.length > 0) say(said.filter((it) => chosen.has(it)));
}

function tick(now) {
  if (player.mode === "live") show(PER_FRAME);
  if (player.mode === "slow" && now - stepAt >= SLOW) {
    stepAt = now;
    show(1);
  }
}

let drawn = "";
let drawnAt = 0;
function frame() {
  const now = performance.now();
  tick(now);
  // Nothing new is nothing to draw: a screen reader and a selection stay where they are.
  const state = `${player.mode} ${player.dropped + player.place} ${player.events.length} ${player.model.hello?.start}`;
  if (state !== drawn) {
    drawn = state;
    draw(player.model);
    drawPlayer(player);
    drawnAt = now;
  } else if (player.mode === "live" && source) {
    // Time goes on between two events. In a replay it does not.
    pass(player.model.now + (now - drawnAt) * 1e6);
  }
}

function mode(name) {
  if (name === "live" && player.mode !== "live") forget();
  player.mode = name;
  stepAt = performance.now();
}

function jump(place) {
  mode("pause");
  player.seek(place);
  forget();
  say(player.recent(SPOKEN).map((event) => sentence(event, player.model)).filter(Boolean));
}

$("live").addEventListener("click", () => mode("live"));
$("slow").addEventListener("click", () => {
  // From the end there is nothing to walk: begin again where the list begins.
  if (player.place === player.events.length) jump(0);
  mode("slow");
});
$("pause").addEventListener("click", () => mode(player.mode === "pause" ? "slow" : "pause"));
$("back").addEventListener("click", () => jump(player.place - 1));
$("forward").addEventListener("click", () => { mode("pause"); show(1); });
$("scrubber").addEventListener("input", () => jump(Number($("scrubber").value)));
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, button") || event.ctrlKey || event.altKey || event.metaKey) return;
  const keys = { ArrowLeft: "back", ArrowRight: "forward", " ": "pause", l: "live", s: "slow" };
  if (keys[event.key]) {
    event.preventDefault();
    $(keys[event.key]).click();
  }
});

// ---- Where events come from

function connect() {
  source = new EventSource("/events");
  source.onmessage = (message) => player.take(JSON.parse(message.data));
  source.onerror = () => { $("server").textContent = "The server is not there; it is asked again …"; };
}

// Replaces what is shown by these events, at their beginning.
function load(events, name) {
  source?.close();
  source = null;
  player.clear();
  for (const event of events) player.events.push(event);
  forget();
  say([`${events.length} events from ${name}.`]);
  mode("slow");
}

async function open(file) {
  if (!file) return;
  const { events, bad } = parse(await file.text());
  load(events, file.name);
  if (bad > 0) say([`${bad} lines of it are no events, and left out.`]);
}

$("open").addEventListener("change", (event) => open(event.target.files[0]));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  open(event.dataTransfer?.files[0]);
});
$("save-lines").addEventListener("click", () => download("trace.jsonl", lines(player.events)));
$("save-chrome").addEventListener("click", () => download("trace.json", chrome(player.events)));

// ---- A moment of the tutorial: #chapter-9

function moment() {
  const chapter = location.hash.match(/^#chapter-(\d+)$/)?.[1];
  const it = MOMENTS[chapter];
  $("moment").hidden = !it;
  if (!it) {
    if (!source) connect();
    mode("live");
    return;
  }
  $("moment-title").textContent = `Chapter ${chapter}: ${it.title}`;
  $("moment-story").textContent = it.story;
  $("moment-question").textContent = `Your bet: ${it.question}`;
  $("moment-command").textContent = it.command;
  $("moment-reveal").textContent = "";
  $("moment-play").disabled = true;
  const buttons = it.answers.map((answer, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = answer;
    button.addEventListener("click", () => {
      buttons.forEach((other, k) => {
        other.setAttribute("aria-pressed", String(k === i));
        other.dataset.right = String(k === it.right);
      });
      $("moment-reveal").textContent = `${i === it.right ? "Yes." : "No."} ${it.reveal}`;
      $("moment-play").disabled = false;
      $("moment-play").focus();
    });
    return button;
  });
  $("moment-answers").replaceChildren(...buttons);
  $("moment-play").onclick = async () => {
    const answer = await fetch(`/moments/chapter-${chapter}.jsonl`);
    load(parse(await answer.text()).events, "a recording of this server");
  };
}

$("moment-leave").addEventListener("click", () => { location.hash = ""; });
window.addEventListener("hashchange", moment);

connect();
moment();
// A timer and not an animation frame: a tab that is not looked at goes on, and keeps up.
setInterval(frame, FRAME);
