// Named settings: a touch recalls one; a name saves the controls as they are.

import { button, byId, make } from "./dom.js";

export class Presets {
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
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!name.value.trim()) return name.focus();
      if (!(await this.act("savepreset", { name: name.value.trim() }, `'${name.value.trim()}' is saved`))) return;
      name.value = "";
      this.look();
    });
    byId("presets").replaceChildren(make("h2", {}, "Presets"), this.list, form);
    if (turns) this.look();
  }

  async look() {
    try {
      const { choices } = await this.link.ask("listpresets");
      this.list.replaceChildren(
        ...choices.map(({ name }) => button(name, () => this.act("loadpreset", { name }, `preset '${name}'`))),
      );
      this.list.hidden = !choices.length;
    } catch {
      // the connection has gone, and this is built again with the next one
    }
  }
}
