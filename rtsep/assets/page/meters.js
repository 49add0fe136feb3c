// Levels of input and stems, with peak hold.

import { byId, make, setAttribute, setText } from "./dom.js";

const NAMES = { dry: "In", vocals: "Voice", instrumental: "Music" };
const FLOOR_DB = -60;
const HOLD_MS = 1500;
const FALL_DB_PER_S = 20;

const decibels = (level) => (level > 0 ? 20 * Math.log10(level) : -200);
const place = (db) => Math.min(1, Math.max(0, (db - FLOOR_DB) / -FLOOR_DB));

export class Meters {
  #meters = new Map();
  #drawnAt = performance.now();

  constructor() {
    for (const [feed, name] of Object.entries(NAMES)) {
      const bar = make("div", { class: `bar ${feed}`, role: "meter", "aria-label": `Level: ${name}`,
        "aria-valuemin": FLOOR_DB, "aria-valuemax": 0 }); // prettier-ignore
      const number = make("span", { class: "number" });
      byId("meters").append(make("span", { class: "name" }, name), bar, number);
      this.#meters.set(feed, { bar, number, held: -200, heldAt: 0, spoken: 0 });
    }
  }

  follow(levels) {
    const now = performance.now();
    const seconds = Math.min(1, (now - this.#drawnAt) / 1000);
    this.#drawnAt = now;
    for (const [feed, meter] of this.#meters) {
      const { peak, rms } = levels[feed];
      const peakDb = decibels(peak);
      if (peakDb >= meter.held) [meter.held, meter.heldAt] = [peakDb, now];
      else if (now - meter.heldAt > HOLD_MS) meter.held = Math.max(peakDb, meter.held - FALL_DB_PER_S * seconds);
      meter.bar.style.setProperty("--rms", place(decibels(rms)).toFixed(3));
      meter.bar.style.setProperty("--peak", place(peakDb).toFixed(3));
      meter.bar.style.setProperty("--held", place(meter.held).toFixed(3));
      if (peak >= 1) meter.bar.classList.add("clipped");
      if (now - meter.spoken > 250) {
        meter.spoken = now;
        setText(meter.number, meter.held > FLOOR_DB ? meter.held.toFixed(1).replace("-", "−") : "");
        setAttribute(meter.bar, "aria-valuenow", Math.max(FLOOR_DB, Math.round(meter.held)));
      }
    }
  }
}
