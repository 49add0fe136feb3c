// Dark for the stage, light for a bright room, or as the device is.

import { byId, setAttribute } from "./dom.js";

const NEXT = { auto: "dark", dark: "light", light: "auto" };
const WORDS = { auto: "as the device", dark: "dark", light: "light" };
const KEPT = "rtsep-colours";

export function listenToTheme() {
  const button = byId("theme");
  const light = matchMedia("(prefers-color-scheme: light)");
  const resolve = (theme) => {
    document.documentElement.dataset.theme = theme === "auto" ? (light.matches ? "light" : "dark") : theme;
  };
  const show = (theme) => {
    resolve(theme);
    setAttribute(button, "aria-label", `Colours: ${WORDS[theme]}`);
    button.title = `Colours: ${WORDS[theme]}`;
  };
  let theme = "auto";
  try {
    theme = localStorage.getItem(KEPT) in NEXT ? localStorage.getItem(KEPT) : "auto";
  } catch {
    // a browser that keeps nothing
  }
  show(theme);
  light.addEventListener("change", () => resolve(theme));
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    show(theme);
    try {
      localStorage.setItem(KEPT, theme);
    } catch {
      // as above
    }
  });
}
