// The controls under the hands: they show the values of the session, except a control that is being turned here.

export class Knobs extends EventTarget {
  #wanted = new Map(); // by name: the value to send next, while one is on its way
  #asking = new Set();
  #held = new Set();
  #shown = new Map();

  constructor(link) {
    super();
    this.link = link;
    this.rows = new Map();
    this.turns = false;
    link.addEventListener("lost", () => {
      this.#wanted.clear();
      this.#asking.clear();
    });
  }

  welcome({ controls, turns }) {
    this.turns = turns;
    this.rows = new Map(controls.map((row) => [row.name, row]));
    this.#shown.clear();
  }

  value(name) {
    return this.#shown.get(name)?.value ?? this.rows.get(name)?.default ?? 0;
  }

  // While a finger is on a slider, nothing else moves it.
  hold(name, on) {
    if (on) this.#held.add(name);
    else this.#held.delete(name);
  }

  set(name, value) {
    if (!this.turns || !this.link.open) return;
    this.#show(name, value, "page");
    this.#wanted.set(name, value);
    if (!this.#asking.has(name)) this.#send(name);
  }

  toggle(name) {
    const row = this.rows.get(name);
    const value = this.value(name);
    this.set(name, value >= row.maximum ? row.minimum : value + 1);
  }

  take(controls) {
    for (const [name, { value, by }] of Object.entries(controls)) {
      if (this.#asking.has(name) || this.#held.has(name)) continue;
      this.#show(name, value, by);
    }
  }

  // One message for each control is on its way at most: a slow line gets the newest value only.
  async #send(name) {
    this.#asking.add(name);
    try {
      while (this.#wanted.has(name)) {
        const value = this.#wanted.get(name);
        this.#wanted.delete(name);
        await this.link.ask("set", { controls: { [name]: value } });
      }
    } catch (error) {
      this.dispatchEvent(new CustomEvent("refused", { detail: error.message }));
    } finally {
      this.#asking.delete(name);
    }
  }

  #show(name, value, by) {
    const before = this.#shown.get(name);
    if (before && before.value === value && before.by === by) return;
    this.#shown.set(name, { value, by });
    this.dispatchEvent(new CustomEvent("moved", { detail: { name, value, by } }));
  }
}
