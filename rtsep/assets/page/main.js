// Puts the parts of the page together.

import { ControlsView } from "./controls.js";
import { byId, setAttribute, setText } from "./dom.js";
import { FileView } from "./file.js";
import { Health } from "./health.js";
import { findKey } from "./key.js";
import { listenToKeys } from "./keys.js";
import { Knobs } from "./knobs.js";
import { Link } from "./link.js";
import { Meters } from "./meters.js";
import { Spectrogram } from "./spectrogram.js";
import { Presets } from "./presets.js";
import { Setup } from "./setup.js";
import { Takes } from "./takes.js";
import { listenToTabs } from "./tabs.js";
import { listenToTheme } from "./theme.js";

listenToTheme(); // before the key, which may take a while
const show = listenToTabs();
const link = new Link(await findKey());
const knobs = new Knobs(link);
const controls = new ControlsView(knobs);
const meters = new Meters();
const spectrogram = new Spectrogram();
const health = new Health(link);
const file = new FileView(act);
const takes = new Takes(link, act);
const presets = new Presets(link, act);
const setup = new Setup(link, act, notify);

const ENDED = "The session has ended. This page comes back with the next one.";
let ended = false;
let notifiedAt = 0;
let shown = false; // whether a state has been shown

function notify(line) {
  byId("message").textContent = line;
  notifiedAt = performance.now();
}

// Asks for something whose outcome is seen in the next states; a refusal is shown as a message.
async function act(kind, fields, done = "") {
  try {
    const { words } = await link.ask(kind, fields);
    if (words || done) notify(words || done);
    return true;
  } catch (error) {
    notify(error.message);
    return false;
  }
}

function away(why) {
  byId("away").hidden = !why;
  setText(byId("away"), why);
  document.body.classList.toggle("away", Boolean(why));
  setText(byId("link"), why ? "away" : "live");
  setAttribute(byId("link"), "data-state", why ? "away" : "live");
}

link.addEventListener("welcome", ({ detail }) => {
  document.body.classList.toggle("reads", !detail.turns);
  knobs.welcome(detail);
  spectrogram.welcome(detail);
  for (const part of [controls, presets, file, takes, setup]) part.build(detail);
  if (!detail.turns) notify("This address shows, and turns nothing.");
});

link.addEventListener("state", ({ detail: state }) => {
  ended = state.state === "ended";
  if (ended) return away(ENDED);
  away("");
  setText(byId("title"), state.title.split(", model ")[0]);
  document.title = state.stats.recording && !state.stats.recording.failure ? "● rtsep" : "rtsep";
  knobs.take(state.controls);
  meters.follow(state.stats.levels);
  health.follow(state);
  file.follow(state);
  takes.follow(state);
  setup.follow(state);
  if (setup.fresh && !shown) show("setup");
  shown = true;
  if (performance.now() - notifiedAt > 8000) setText(byId("message"), "");
});

link.addEventListener("picture", ({ detail }) => {
  spectrogram.add(detail.level_db, detail.share, knobs.value("bypass") > 0);
});
link.addEventListener("said", ({ detail }) => {
  notify(detail.lines.at(-1));
  setup.add(detail.lines);
});
link.addEventListener("away", ({ detail }) => away(`The session does not answer: ${detail.why}. Looking for it.`));
link.addEventListener("lost", ({ detail }) => away(ended ? ENDED : `Connection lost: ${detail}. Trying again.`));
link.addEventListener("stranger", () =>
  away("This address is not valid. Open the one that rtsep prints when it starts."),
);
knobs.addEventListener("refused", ({ detail }) => notify(detail));
addEventListener("hashchange", () => location.reload());

listenToKeys(knobs, file, takes);
link.connect();
