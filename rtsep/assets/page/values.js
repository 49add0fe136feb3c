// Values of controls: how they are shown, and where they lie on a slider.

export const isSwitch = (row) => row.unit === "switch" || row.unit === "choice";

export function shown(row, value) {
  if (row.choices.length) return row.choices[Math.round(value)];
  if (row.unit === "switch") return value ? "on" : "off";
  if (row.unit === "dB") {
    if (value <= row.minimum) return "−∞ dB";
    return `${value > 0.05 ? "+" : value < -0.05 ? "−" : ""}${Math.abs(value).toFixed(1)} dB`;
  }
  return row.unit ? `${value.toFixed(0)} ${row.unit}` : value.toFixed(2);
}

export const named = (row) => {
  const words = row.name.replace("instrumental", "music").replace("vocals", "voice").replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
};

// A slider of decibels ends one step below the last it counts: that is silence.
export function sliderOf(row, faderDb) {
  if (row.unit === "dB") return { min: row.maximum - faderDb - 0.5, max: row.maximum, step: 0.5 };
  return { min: row.minimum, max: row.maximum, step: (row.maximum - row.minimum) / 100 };
}

export function toSlider(row, value, slider) {
  return row.unit === "dB" ? Math.max(slider.min, value) : value;
}

export function fromSlider(row, place, slider) {
  if (row.unit === "dB" && place <= slider.min) return row.minimum;
  return Math.min(Math.max(Number(place.toFixed(4)), row.minimum), row.maximum);
}

export function balanceInWords(value) {
  if (value <= 0.005) return "music alone";
  if (value >= 0.995) return "voice alone";
  if (Math.abs(value - 0.5) < 0.005) return "voice and music";
  return value < 0.5
    ? `music, and ${Math.round(value * 200)} % of the voice`
    : `voice, and ${Math.round((1 - value) * 200)} % of the music`;
}
