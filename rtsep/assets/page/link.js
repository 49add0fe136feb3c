// The connection to the server: requests with answers, newest states, and coming back where it was lost.

const PAUSES_MS = [200, 500, 1000, 2000, 3000];
const SILENT_MS = 4000; // the server sends a state much more often,
const AWAY_MS = 30000; // but for a session that it looks for itself
const CONNECT_MS = 6000;

export class Link extends EventTarget {
  #socket = null;
  #waiting = new Map();
  #id = 0;
  #tries = 0;
  #timer = 0;
  #receivedAt = 0;
  #stopped = false;
  #away = false;

  constructor(key) {
    super();
    this.key = key;
    addEventListener("online", () => this.#soon(0));
    document.addEventListener("visibilitychange", () => document.hidden || this.#soon(0));
    addEventListener("offline", () => this.#lose("this device is offline"));
    setInterval(() => this.#watch(), 1000);
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.#timer);
    if (this.#stopped || this.#socket) return;
    this.#receivedAt = performance.now();
    const socket = new WebSocket(`ws://${location.host}/session?key=${encodeURIComponent(this.key)}`);
    this.#socket = socket;
    socket.onmessage = (event) => socket === this.#socket && this.#take(JSON.parse(event.data));
    socket.onclose = (event) => socket === this.#socket && this.#closed(event);
  }

  // Returns a promise of the answer; a refusal is an Error with the line for the user.
  ask(kind, fields = {}) {
    if (!this.open) return Promise.reject(new Error("not connected"));
    const id = ++this.#id;
    this.#socket.send(JSON.stringify({ kind, id, ...fields }));
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  headers() {
    return { Authorization: `Bearer ${this.key}` };
  }

  #take(message) {
    this.#receivedAt = performance.now();
    if (message.kind === "state" || message.kind === "away") this.#away = message.kind === "away";
    if (message.kind === "state" && !message.id) {
      // Asked for at the pace of the screen: a page that is behind gets fewer.
      const socket = this.#socket;
      const seen = () => socket.readyState === WebSocket.OPEN && socket.send('{"kind": "seen"}');
      if (document.hidden) setTimeout(seen, 250);
      else requestAnimationFrame(seen);
    }
    if (message.kind === "welcome") this.#tries = 0;
    const waiting = message.id ? this.#waiting.get(message.id) : null;
    if (waiting) {
      this.#waiting.delete(message.id);
      if (message.kind === "refused") waiting.reject(new Error(message.why));
      else waiting.resolve(message);
      return;
    }
    this.dispatchEvent(new CustomEvent(message.kind, { detail: message }));
  }

  #watch() {
    if (!this.#socket) return;
    const silent = performance.now() - this.#receivedAt;
    if (this.open && silent > (this.#away ? AWAY_MS : SILENT_MS) && !document.hidden) this.#lose("no answer from the session");
    else if (!this.open && silent > CONNECT_MS) this.#lose("the session cannot be reached");
  }

  #closed(event) {
    this.#lose(event.reason || "the connection was lost");
    if (event.code === 1006) this.#whether();
  }

  // A browser does not report why a WebSocket was refused.
  async #whether() {
    try {
      const answer = await fetch("/hello", { headers: this.headers(), cache: "no-store" });
      if (answer.status !== 403) return;
    } catch {
      return;
    }
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.dispatchEvent(new CustomEvent("stranger"));
  }

  #lose(why) {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    for (const { reject } of this.#waiting.values()) reject(new Error(why));
    this.#waiting.clear();
    if (this.#stopped) return;
    this.dispatchEvent(new CustomEvent("lost", { detail: why }));
    this.#soon(PAUSES_MS[Math.min(this.#tries++, PAUSES_MS.length - 1)]);
  }

  #soon(pause) {
    if (this.#socket || this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.connect(), pause);
  }
}
