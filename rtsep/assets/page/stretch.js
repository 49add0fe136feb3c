// Speed and key of a played file: two sliders; a press on a value goes back to what is recorded.

import { button, make, setAttribute, setText } from "./dom.js";

const RECORDED = { speed: 1, key: 0 };
const NAMES = { speed: "Speed", key: "Key" };

function shown(name, value) {
  if (name === "speed") return `${Math.round(value * 100)} %`;
  const semitones = Number(Math.abs(value).toFixed(2));
  return value ? `${value > 0 ? "+" : "−"}${semitones}` : "0";
}

function spoken(name, value) {
  if (name === "speed") return shown(name, value);
  if (!value) return "as recorded";
  const semitones = Number(Math.abs(value).toFixed(2));
  return `${semitones} semitone${semitones === 1 ? "" : "s"} ${value > 0 ? "up" : "down"}`;
}

export class StretchView {
  #parts = {};
  #file = null;
  #wanted = {};
  #asking = false;
  #held = "";

  constructor(act) {
    this.act = act;
  }

  build({ turns, lowest_speed: low, highest_speed: high, max_key: most }) {
    this.turns = turns;
    const ranges = { speed: { min: low, max: high, step: 0.01 }, key: { min: -most, max: most, step: 1 } };
    return make("div", { class: "stretch" }, ...Object.keys(ranges).map((name) => this.#fader(name, ranges[name])));
  }

  #fader(name, bounds) {
    const disabled = !this.turns;
    const range = make("input", { type: "range", ...bounds, "aria-label": NAMES[name], disabled });
    const value = button("", () => this.#set(name, RECORDED[name]), { class: "value", disabled, title: "as recorded" });
    range.addEventListener("input", () => this.#set(name, range.valueAsNumber));
    range.addEventListener("pointerdown", () => (this.#held = name));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur"])
      range.addEventListener(end, () => (this.#held = ""));
    this.#parts[name] = { range, value, bounds };
    return make("div", { class: `fader ${name}` }, make("div", { class: "head" }, make("h3", {}, NAMES[name]), value), range);
  }

  follow(file) {
    this.#file = file;
    if (!file) return;
    for (const name of Object.keys(this.#parts))
      if (this.#held !== name && !this.#asking && !(name in this.#wanted)) this.#show(name, file[name]);
  }

  // By keys.
  step(name, by) {
    if (!this.#file || !this.turns) return;
    const { bounds } = this.#parts[name];
    const now = this.#wanted[name] ?? this.#file[name];
    this.#set(name, Number(Math.min(bounds.max, Math.max(bounds.min, now + by)).toFixed(2)));
  }

  #show(name, value) {
    const { range, value: words, bounds } = this.#parts[name];
    range.value = value;
    const at = (one) => (one - bounds.min) / (bounds.max - bounds.min);
    const [a, b] = [at(value), at(RECORDED[name])].sort((one, other) => one - other);
    range.style.setProperty("--a", a.toFixed(4));
    range.style.setProperty("--b", b.toFixed(4));
    setAttribute(range, "aria-valuetext", spoken(name, value));
    setText(words, shown(name, value));
    setAttribute(words, "aria-label", `${NAMES[name]} ${spoken(name, value)}: back to what is recorded`);
  }

  // One message is on its way at most: a slow line gets the newest values only.
  async #set(name, value) {
    if (!this.#file || !this.turns) return;
    this.#file = { ...this.#file, [name]: value };
    this.#show(name, value);
    this.#wanted[name] = value;
    if (this.#asking) return;
    this.#asking = true;
    try {
      while (Object.keys(this.#wanted).length) {
        const wanted = this.#wanted;
        this.#wanted = {};
        await this.act("stretch", wanted);
      }
    } finally {
      this.#asking = false;
    }
  }
}
