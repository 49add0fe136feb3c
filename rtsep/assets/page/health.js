// Latency and faults in one line, and what to do about them.

import { byId, setText } from "./dom.js";

const FAULTS = [
  ["late_masks", "late"],
  ["underruns", "underruns"],
  ["overruns", "overruns"],
  ["device_xruns", "xruns"],
];

export class Health {
  #advice = "";
  #asked = "";

  constructor(link) {
    this.link = link;
    this.element = byId("health");
  }

  follow(state) {
    const { stats } = state;
    const counted = FAULTS.map(([key, name]) => [stats[key], name]);
    const faults = counted.filter(([count]) => count);
    const always = counted.slice(0, 2).filter(([count]) => !count);
    const parts = [`${stats.latency_ms.total.toFixed(1)} ms`];
    parts.push(...[...faults, ...always].map(([count, name]) => `${count} ${count === 1 ? name.replace(/s$/, "") : name}`));
    if (!stats.model.ready) parts.push("the model is down: the original plays");
    else if (stats.model.asleep) parts.push("asleep: the input is silent");
    if (stats.limiter_db) parts.push(`limiter ${stats.limiter_db} dB`);
    if (stats.feedback_db) parts.push(`feedback: ${stats.feedback_db} dB`);
    const key = faults.join();
    if (key !== this.#asked) this.#ask(key);
    if (this.#advice && faults.length) parts.push(this.#advice);
    setText(this.element, parts.join(" · "));
    this.element.dataset.state = !stats.model.ready ? "bad" : faults.length ? "warn" : "good";
  }

  async #ask(key) {
    this.#asked = key;
    if (!key) return;
    try {
      const { words } = await this.link.ask("advise");
      this.#advice = words.split("\n")[0].replace(/^[^:]*: /, "");
    } catch {
      this.#advice = "";
    }
  }
}
