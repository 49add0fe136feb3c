// A file that is dropped on the page, or chosen, goes to the session's machine and is played there.

import { make } from "./dom.js";

export class Drop {
  #most = 0;
  #busy = false;

  constructor(link, notify, play) {
    this.link = link;
    this.notify = notify;
    this.play = play;
    addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      document.body.classList.add("dragged");
    });
    addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dragged"));
    addEventListener("drop", (event) => {
      document.body.classList.remove("dragged");
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      if (this.#most) this.send(event.dataTransfer.files[0]);
    });
  }

  build(most) {
    this.#most = most;
    const input = make("input", { type: "file", class: "unseen", accept: "audio/*,video/*", id: "file-to-play" });
    input.addEventListener("change", () => {
      if (input.files.length) this.send(input.files[0]);
      input.value = "";
    });
    this.bar = make("progress", { max: 1, value: 0, hidden: true, "aria-label": "How much of the file is there" });
    return make(
      "div",
      { class: "drop" },
      input,
      make("label", { class: "file-button", for: "file-to-play" }, "Play a file from this device"),
      this.bar,
    );
  }

  // XMLHttpRequest, as fetch does not report the progress of an upload.
  send(file) {
    if (this.#busy) return this.notify("another file is on its way");
    if (!file.size || file.size > this.#most) return this.notify(`a file of at most ${this.#most >> 20} MiB`);
    this.#busy = true;
    this.bar.hidden = false;
    const request = new XMLHttpRequest();
    request.open("POST", `/upload?name=${encodeURIComponent(file.name)}`);
    for (const [name, value] of Object.entries(this.link.headers())) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = (event) => (this.bar.value = event.loaded / event.total);
    request.onloadend = () => {
      this.#busy = false;
      this.bar.hidden = true;
      const { input, why } = request.response ?? {};
      if (request.status === 200 && input) this.play(input);
      else this.notify(why ?? "the file has not arrived: the connection was lost");
    };
    request.send(file);
  }
}
