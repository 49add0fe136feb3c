// Sliders and switches of all controls.

import { button, byId, make, setAttribute, setText } from "./dom.js";
import { balanceInWords, fromSlider, isSwitch, named, shown, sliderOf, toSlider } from "./values.js";

const ON_STAGE = {
  vocals_mute: "Mute voice",
  vocals_solo: "Solo voice",
  instrumental_mute: "Mute music",
  instrumental_solo: "Solo music",
  bypass: "Original",
};
const ORDER = ["vocals_gain", "instrumental_gain", "threshold", "gate", "smoothing", "blend", "mask"];

export class ControlsView {
  #parts = new Map(); // by name: what shows a value

  constructor(knobs) {
    this.knobs = knobs;
    knobs.addEventListener("moved", ({ detail }) => this.#parts.get(detail.name)?.(detail.value, detail.by));
  }

  build({ fader_db: faderDb, turns }) {
    this.#parts.clear();
    const { rows } = this.knobs;
    byId("balance").replaceChildren(this.#balance(rows.get("balance"), turns));
    byId("switches").replaceChildren(
      ...Object.entries(ON_STAGE).map(([name, text]) => this.#switch(rows.get(name), text, turns)),
    );
    const others = [...rows.keys()].filter((name) => !(name in ON_STAGE) && name !== "balance");
    others.sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
    byId("controls").replaceChildren(
      ...others.map((name) => {
        const row = rows.get(name);
        return isSwitch(row) ? this.#choice(row, turns) : this.#fader(row, faderDb, turns);
      }),
    );
    for (const [name, show] of this.#parts) show(this.knobs.value(name), "");
  }

  #slider(row, slider, turns, label) {
    const range = make("input", { type: "range", ...slider, "aria-label": label, disabled: !turns });
    const { knobs } = this;
    range.addEventListener("input", () => knobs.set(row.name, fromSlider(row, range.valueAsNumber, slider)));
    range.addEventListener("pointerdown", () => knobs.hold(row.name, true));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur"])
      range.addEventListener(end, () => knobs.hold(row.name, false));
    return range;
  }

  #place(range, value, words) {
    const place = toSlider({ unit: range.dataset.unit }, value, { min: Number(range.min) });
    if (range.valueAsNumber !== place) range.value = place;
    const whole = (range.valueAsNumber - range.min) / (range.max - range.min);
    range.style.setProperty("--fill", whole.toFixed(4));
    setAttribute(range, "aria-valuetext", words);
  }

  #balance(row, turns) {
    const slider = sliderOf(row);
    const range = this.#slider(row, slider, turns, "Balance between music and voice");
    const words = make("output", { class: "words" });
    const mover = make("span", { class: "mover" });
    const ends = [
      ["Music", 0],
      ["Both", 0.5],
      ["Voice", 1],
    ].map(([text, value]) => {
      const end = button(text, () => this.knobs.set("balance", value), { disabled: !turns });
      end.dataset.value = value;
      return end;
    });
    this.#parts.set("balance", (value, by) => {
      const text = balanceInWords(value);
      this.#place(range, value, text);
      setText(words, text);
      showMover(mover, by);
      for (const end of ends) setAttribute(end, "aria-pressed", Math.abs(value - end.dataset.value) < 0.005);
    });
    return make(
      "div",
      { class: "balance" },
      make("div", { class: "head" }, make("h2", {}, "Balance"), words, mover),
      range,
      make("div", { class: "ends", role: "group", "aria-label": "Balance" }, ...ends),
    );
  }

  #switch(row, text, turns) {
    const mover = make("span", { class: "mover" });
    const element = button("", () => this.knobs.toggle(row.name), {
      class: `switch ${row.name}`,
      "aria-pressed": "false",
      disabled: !turns,
      title: row.effect,
    });
    element.append(make("span", { class: "name" }, text), mover);
    this.#parts.set(row.name, (value, by) => {
      setAttribute(element, "aria-pressed", value > 0);
      showMover(mover, by);
    });
    return element;
  }

  #fader(row, faderDb, turns) {
    const slider = sliderOf(row, faderDb);
    const range = this.#slider(row, slider, turns, named(row));
    range.dataset.unit = row.unit;
    const mover = make("span", { class: "mover" });
    const value = button("", () => this.knobs.set(row.name, row.default), {
      class: "value",
      disabled: !turns,
      title: `back to ${shown(row, row.default)}`,
    });
    this.#parts.set(row.name, (now, by) => {
      const words = shown(row, now);
      this.#place(range, now, words);
      setText(value, words);
      setAttribute(value, "aria-label", `${named(row)} ${words}: back to ${shown(row, row.default)}`);
      showMover(mover, by);
    });
    return make(
      "div",
      { class: `fader ${row.name}` },
      make("div", { class: "head" }, make("h3", {}, named(row)), mover, value),
      range,
      make("p", { class: "effect" }, row.effect),
    );
  }

  #choice(row, turns) {
    const mover = make("span", { class: "mover" });
    const names = row.choices.length ? row.choices : ["off", "on"];
    const buttons = names.map((text, index) =>
      button(text, () => this.knobs.set(row.name, index), { disabled: !turns }),
    );
    this.#parts.set(row.name, (value, by) => {
      buttons.forEach((each, index) => setAttribute(each, "aria-pressed", index === value));
      showMover(mover, by);
    });
    return make(
      "div",
      { class: "fader" },
      make("div", { class: "head" }, make("h3", {}, named(row)), mover),
      make("div", { class: "ends", role: "group", "aria-label": named(row) }, ...buttons),
      make("p", { class: "effect" }, row.effect),
    );
  }
}

function showMover(element, by) {
  setText(element, by ? `by ${by}` : "");
  setAttribute(element, "data-by", by);
}
