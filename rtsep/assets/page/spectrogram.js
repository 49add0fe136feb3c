// The last seconds, newest at the right: brightness is level, amber goes to the voice, blue stays in the music.

import { byId } from "./dom.js";

const DARK_DB = -72;
const BRIGHT_DB = -8;
const TILT_DB_PER_OCTAVE = 3;
const TILT_FROM_HZ = 200;
const [GROUND, REST, BETWEEN, VOICE, DRY] = [
  [11, 14, 19],
  [48, 140, 255],
  [214, 84, 178],
  [255, 177, 59],
  [178, 186, 196],
];

const mixed = (low, high, x) => low.map((value, index) => value + (high[index] - value) * x);
const hueOf = (share) => (share < 0.5 ? mixed(REST, BETWEEN, share * 2) : mixed(BETWEEN, VOICE, share * 2 - 1));

export class Spectrogram {
  #canvas = byId("spectrogram");
  #context = this.#canvas.getContext("2d", { alpha: false });
  #tilt = [];

  constructor() {
    this.#context.fillStyle = `rgb(${GROUND})`;
    this.#context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  welcome({ bands, lowest_hz: lowest, highest_hz: highest }) {
    this.#canvas.height = bands;
    this.#context.fillStyle = `rgb(${GROUND})`;
    this.#context.fillRect(0, 0, this.#canvas.width, bands);
    this.#tilt = Array.from({ length: bands }, (_, band) => {
      const hz = lowest * (highest / lowest) ** ((band + 0.5) / bands);
      return TILT_DB_PER_OCTAVE * Math.log2(Math.max(1, hz / TILT_FROM_HZ));
    });
  }

  // `levels` in dB and `shares` 0..1 by band, lowest first; none: silence. `dry`: nobody parts the signal.
  add(levels, shares, dry) {
    const { width, height } = this.#canvas;
    this.#context.drawImage(this.#canvas, -1, 0);
    const column = this.#context.createImageData(1, height);
    for (let band = 0; band < height; band++) {
      const db = band < levels.length ? levels[band] + this.#tilt[band] : -200;
      const bright = Math.min(1, Math.max(0, (db - DARK_DB) / (BRIGHT_DB - DARK_DB)));
      const hue = dry ? DRY : hueOf(shares[band] ?? 0);
      let colour = mixed(GROUND, hue, Math.min(1, bright * 1.15) ** 1.2);
      const glow = Math.max(0, bright - 0.87) * 1.5;
      colour = colour.map((value) => value + (255 - value) * glow);
      column.data.set([...colour, 255], 4 * (height - 1 - band));
    }
    this.#context.putImageData(column, width - 1, 0);
  }
}
