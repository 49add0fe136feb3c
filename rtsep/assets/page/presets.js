// Named settings: a touch recalls one; a name saves the controls as they are.

import { button, byId, make } from "./dom.js";

export class Presets {
  names = [];

  constructor(link, act) {
    this.link = link;
    this.act = act;
  }

  build({ turns }) {
    byId("presets").hidden = !turns;
    this.list = make("div", { class: "chips" });
    const name = make("input", { type: "text", maxlength: 64, placeholder: "a name", "aria-label": "Name of a preset",
      autocomplete: "off" }); // prettier-ignore
    const form = make("form", { class: "line" }, name, button("Save", null, { type: "submit" }));
    this.name = name;
    this.question = make("div", { class: "line", role: "group", "aria-label": "A preset of this name exists" });
    this.question.hidden = true;
    name.addEventListener("input", () => (this.question.hidden = true));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const chosen = name.value.trim().normalize();
      if (!chosen) return name.focus();
      await this.look();
      if (this.names.includes(chosen)) this.#ask(chosen);
      else this.#save(chosen, false);
    });
    byId("presets").replaceChildren(make("h2", {}, "Presets"), this.list, form, this.question);
    if (turns) this.look();
  }

  // Another page may have saved the existing one.
  #ask(name) {
    const keep = button("Keep it", () => {
      this.question.hidden = true;
      this.name.focus();
    });
    this.question.replaceChildren(button(`Replace '${name}'`, () => this.#save(name, true)), keep);
    this.question.hidden = false;
    keep.focus();
  }

  async #save(name, replace) {
    this.question.hidden = true;
    if (!(await this.act("savepreset", { name, replace }, `'${name}' is saved`))) return;
    this.name.value = "";
    this.look();
  }

  async look() {
    try {
      const { choices } = await this.link.ask("listpresets");
      this.names = choices.map(({ name }) => name);
      this.list.replaceChildren(
        ...choices.map(({ name }) => button(name, () => this.act("loadpreset", { name }, `preset '${name}'`))),
      );
      this.list.hidden = !choices.length;
    } catch {
      // the connection has gone, and this is built again with the next one
    }
  }
}
