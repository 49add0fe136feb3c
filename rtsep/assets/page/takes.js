// Record, and listen to what was recorded.

import { button, byId, clock, make, setAttribute, setText } from "./dom.js";

const STEMS = { vocals: "Voice", instrumental: "Music", mix: "Mix" };

export class Takes {
  #recording = null;
  #known = "";

  constructor(link, act) {
    this.link = link;
    this.act = act;
  }

  build({ turns }) {
    this.#known = "";
    this.record = button("Record", () => this.toggle(), { class: "record", disabled: !turns });
    this.words = make("p", { class: "dim" });
    this.list = make("div", { class: "list" });
    byId("takes").replaceChildren(make("h2", {}, "Takes"), this.record, this.words, this.list);
  }

  follow({ recordings, stats }) {
    const state = stats.recording;
    this.#recording = state && !state.failure ? state : null;
    setText(this.record, this.#recording ? `Stop  ${clock(this.#recording.seconds)}` : "Record");
    setAttribute(this.record, "aria-pressed", Boolean(this.#recording));
    byId("recording").hidden = !this.#recording;
    const lost = state?.lost_frames ? `; ${state.lost_frames} frames lost` : "";
    const where = this.#recording ? `Recording voice, music and mix to ${state.folder}${lost}` : "";
    setText(this.words, state?.failure ? `The recording has stopped: ${state.failure}` : where);
    const known = JSON.stringify(recordings);
    if (known === this.#known) return;
    this.#known = known;
    this.list.replaceChildren(...recordings.map((take, number) => this.#take(take, number)).reverse());
    if (!recordings.length) this.list.append(make("p", { class: "dim" }, "Nothing has been recorded yet."));
  }

  toggle() {
    if (this.#recording) this.act("stoprecording");
    else this.act("record");
  }

  #take(take, number) {
    const players = Object.entries(STEMS)
      .filter(([stem]) => take[stem])
      .map(([stem, name]) => {
        const address = `take/${number}/${stem}?key=${encodeURIComponent(this.link.key)}`;
        const label = `Take ${number + 1}, ${name.toLowerCase()}`;
        return make(
          "div",
          { class: `player ${stem}` },
          make("span", { class: "name" }, name),
          make("audio", { controls: true, preload: "none", src: address, "aria-label": label }),
          make("a", { href: `${address}&save`, download: true, "aria-label": `${label}: save` }, "Save"),
        );
      });
    return make("details", { open: number === 0 }, make("summary", {}, `Take ${number + 1}`), ...players);
  }
}
