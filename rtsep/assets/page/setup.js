// Input, output and model; a file that is dropped; the address for a phone; messages of rtsep.

import { button, byId, make, setAttribute } from "./dom.js";
import { Drop } from "./drop.js";
import { named } from "./values.js";

const LISTS = { input: "Input", output: "Output", model: "Model" };
const LINES_KEPT = 50;

export class Setup {
  #looked = false;
  #lists = {};
  #wanted = {}; // what was chosen before the first play
  #fresh = false;
  #lines = [];

  constructor(link, act, notify) {
    this.link = link;
    this.act = act;
    this.notify = notify;
    this.drop = new Drop(link, notify, (input) => this.#play(input));
    document.addEventListener("tab", ({ detail }) => detail === "setup" && this.#enter());
  }

  build({ turns, lan, fresh, most_upload: mostUpload, controls }) {
    this.#looked = false;
    this.#fresh = fresh && turns;
    this.messages = make("ul", { class: "messages" });
    this.start = make(
      "div",
      { class: "start", hidden: true },
      make("p", {}, "Choose an input, an output and a model, or drop a file. Then press play."),
      button("▶ Play", () => this.#begin(), { class: "begin" }),
    );
    const parts = Object.entries(LISTS).map(([kind, title]) => {
      this.#lists[kind] = make("div", { class: "list", role: "group", "aria-label": title });
      return make("div", {}, make("h2", {}, title), this.#lists[kind]);
    });
    this.remark = make("p", { class: "effect" });
    this.phone = lan ? make("div", { class: "phone" }) : null;
    const again = button("Look again", () => {
      this.look();
      this.#showPhone();
    });
    const midi = this.#midi(controls);
    const sources = turns ? [this.start, this.drop.build(mostUpload), ...parts, this.remark, again, midi] : [];
    byId("setup").replaceChildren(
      ...sources,
      ...(this.phone ? [this.phone] : []),
      make("details", {}, make("summary", {}, "Messages"), this.messages),
      make("details", {}, make("summary", {}, "Keys"), keysInWords()),
    );
    this.#showLines();
    this.#showPhone();
    if (turns && document.body.dataset.tab === "setup") this.look();
  }

  follow(state) {
    const { file } = state.stats;
    const waits = this.#fresh && Boolean(file?.paused) && file.position_s < 1 && state.output === "virtual";
    if (this.#fresh && !waits && this.start.dataset.shown) this.#fresh = false;
    if (waits) this.start.dataset.shown = "yes";
    this.start.hidden = !waits;
  }

  add(lines) {
    this.#lines = [...this.#lines, ...lines].slice(-LINES_KEPT);
    this.#showLines();
  }

  #enter() {
    this.#showPhone();
    if (!this.#looked) this.look();
  }

  async look() {
    this.#looked = true;
    try {
      const [devices, models] = await Promise.all([this.link.ask("listdevices"), this.link.ask("listmodels")]);
      for (const kind of ["input", "output"])
        this.#fill(kind, devices.choices.filter((choice) => choice.kind === kind));
      this.#fill("model", models.choices);
      this.remark.textContent = devices.remark;
    } catch (error) {
      this.#looked = false;
      this.notify(error.message);
    }
  }

  get fresh() {
    return this.#fresh && !this.start.hidden;
  }

  #fill(kind, choices) {
    const current = this.#wanted[kind] ?? choices.find((choice) => choice.current)?.name;
    this.#lists[kind].replaceChildren(
      ...choices.map(({ name, note }) => {
        const label = kind === "model" ? name : name.split(/[/\\]/).at(-1);
        const element = button("", () => this.#pick(kind, name, element), { class: "choice", title: name });
        element.append(make("span", { class: "name" }, label), make("span", { class: "note" }, note));
        setAttribute(element, "aria-pressed", name === current);
        return element;
      }),
    );
  }

  async #pick(kind, name, element) {
    if (this.fresh) {
      this.#wanted[kind] = name;
      for (const each of this.#lists[kind].children) setAttribute(each, "aria-pressed", each === element);
      return;
    }
    setAttribute(element, "aria-busy", true);
    this.notify("one moment…");
    await this.#switch({ [kind]: name });
    setAttribute(element, "aria-busy", false);
    this.look();
  }

  async #switch({ model, input, output }, loop = false) {
    if (model && !(await this.act("switchmodel", { name: model }, `plays with model '${model}'`))) return false;
    if (!input && !output) return true;
    // The session repeats a file by itself: the phone may sleep before the answer comes.
    const request = { input: input ?? null, output: output ?? null, loop };
    return this.act("switchdevice", request, "plays");
  }

  async #begin() {
    if (!(await this.#switch(this.#wanted, true))) return;
    if (!this.#wanted.input) await this.#playOn();
    this.#wanted = {};
    this.look();
  }

  // The file of the start, which waits: it begins again at its end, because the session would end there, too.
  async #playOn() {
    try {
      await this.link.ask("loop");
      await this.link.ask("pause", { on: false });
    } catch {
      // the input is no file
    }
  }

  async #play(input) {
    if (this.fresh) {
      this.#wanted.input = input;
      if (this.#wanted.output) return this.#begin();
      this.notify("The file is here: choose an output, then press play.");
      return;
    }
    await this.#switch({ input }, true);
    this.look();
  }

  // The next knob that is moved turns the control from then on.
  #midi(controls) {
    const names = controls.map((row) => make("option", { value: row.name }, named(row)));
    const control = make("select", { "aria-label": "Control" }, ...names);
    const learn = button("Learn", async () => {
      learn.disabled = true;
      this.notify(`Turn a knob for ${control.selectedOptions[0].textContent} both ways, or press a pad and let go`);
      await this.act("learn", { control: control.value });
      learn.disabled = false;
    });
    return make("div", {}, make("h2", {}, "MIDI"), make("div", { class: "line" }, control, learn));
  }

  // The address is asked for each time: the network may have come, or changed, since.
  async #showPhone() {
    const { phone } = this;
    if (!phone) return;
    let address;
    try {
      const answer = await fetch("phone", { headers: this.link.headers() });
      ({ address } = await answer.json());
    } catch {
      return; // the connection has gone, and this is built again with the next one
    }
    const title = make("h2", {}, "On a phone");
    if (!address) {
      const none = "This computer is in no network now. Connect it to one, then look again.";
      phone.replaceChildren(title, make("p", { class: "effect" }, none));
      return;
    }
    const code = `qr.svg?key=${encodeURIComponent(this.link.key)}&of=${encodeURIComponent(new URL(address).host)}`;
    phone.replaceChildren(
      title,
      make("img", { src: code, alt: "QR code of the address below", width: 200, height: 200 }),
      make("p", { class: "address" }, address),
      make(
        "p",
        { class: "effect" },
        "Scan it in the same network, and put a bookmark on the home screen. It is plain http, so no app can be installed. Whoever has this address can turn everything.",
      ),
    );
  }

  #showLines() {
    this.messages?.replaceChildren(...this.#lines.map((line) => make("li", {}, line)));
  }
}

function keysInWords() {
  const rows = [
    ["v V, i I", "mute and solo voice; mute and solo music"],
    ["b, k", "original; soft or binary mask"],
    [", .", "balance towards music, towards voice"],
    ["t, < >", "pause; 5 s back, 5 s on"],
    ["a", "start of a loop, its end, no loop"],
    ["[ ], ( )", "slower, faster; key down, key up"],
    ["r", "record"],
  ];
  return make("dl", { class: "keys" }, ...rows.flatMap(([key, what]) => [make("dt", {}, key), make("dd", {}, what)]));
}
