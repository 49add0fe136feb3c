// A played file: where it stands, pause, seek, a loop from A to B, speed and key.

import { button, byId, clock, make, setAttribute, setText } from "./dom.js";
import { StretchView } from "./stretch.js";

export class FileView {
  #from = null; // the start of a loop whose end is not set yet
  #held = false;
  #file = null;
  #input = "";

  constructor(act) {
    this.act = act;
    this.stretch = new StretchView(act);
  }

  build(welcome) {
    const { turns } = welcome;
    const on = { disabled: !turns };
    this.range = make("input", { type: "range", min: 0, max: 1, step: 0.1, "aria-label": "Place in the file", ...on });
    this.now = make("span", { class: "time" });
    this.length = make("span", { class: "time dim" });
    this.play = button("", () => this.pause(), { class: "play", ...on });
    this.loop = button("Loop", () => this.loopHere(), on);
    this.range.addEventListener("pointerdown", () => (this.#held = true));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur"])
      this.range.addEventListener(end, () => (this.#held = false));
    this.range.addEventListener("input", () => setText(this.now, clock(this.range.valueAsNumber)));
    this.range.addEventListener("change", () => this.act("seek", { seconds: this.range.valueAsNumber }));
    byId("file").replaceChildren(
      make("div", { class: "place" }, this.now, this.range, this.length),
      make(
        "div",
        { class: "transport" },
        button("−5 s", () => this.skip(-5), on),
        this.play,
        button("+5 s", () => this.skip(5), on),
        this.loop,
      ),
      this.stretch.build(welcome),
    );
  }

  follow({ input, stats: { file } }) {
    if (input !== this.#input) this.#from = null; // a start in another file means nothing here
    this.#input = input;
    this.#file = file;
    byId("file").hidden = !file;
    this.stretch.follow(file);
    if (!file) return;
    if (!this.#held) {
      setText(this.now, clock(file.position_s));
      setAttribute(this.range, "max", file.length_s ?? Math.max(file.position_s, 1));
      this.range.value = file.position_s;
    }
    setAttribute(this.range, "aria-valuetext", clock(this.range.valueAsNumber));
    const whole = this.range.valueAsNumber / (Number(this.range.max) || 1);
    this.range.style.setProperty("--fill", Math.min(1, whole).toFixed(4));
    const [a, b] = this.#ends(file);
    this.range.style.setProperty("--a", a);
    this.range.style.setProperty("--b", b);
    setText(this.length, file.length_s == null ? "" : clock(file.length_s));
    setText(this.play, file.paused ? "▶" : "❚❚");
    setAttribute(this.play, "aria-label", file.paused ? "Play" : "Pause");
    setText(this.loop, file.loop_s ? "End loop" : this.#from == null ? "Loop: start" : `Loop: end`);
    setAttribute(this.loop, "aria-pressed", Boolean(file.loop_s));
  }

  pause() {
    if (this.#file) this.act("pause", { on: !this.#file.paused });
  }

  skip(seconds) {
    if (this.#file) this.act("seek", { seconds, relative: true });
  }

  loopHere() {
    if (!this.#file) return;
    const here = this.#file.position_s;
    if (this.#file.loop_s) {
      this.#from = null;
      this.act("loop", { on: false });
    } else if (this.#from == null) this.#from = here;
    else {
      const [start, end] = [this.#from, here].sort((one, other) => one - other);
      this.#from = null;
      this.act("loop", { start, end });
    }
  }

  #ends(file) {
    const length = file.length_s;
    if (!length) return [0, 0];
    if (file.loop_s) return [file.loop_s[0] / length, (file.loop_s[1] ?? length) / length];
    if (this.#from != null) return [this.#from, file.position_s].map((at) => at / length).sort((x, y) => x - y);
    return [0, 0];
  }
}
