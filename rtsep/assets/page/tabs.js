// Which part is shown: one at a time on a phone; beside the stage where there is room.

import { setAttribute } from "./dom.js";

export function listenToTabs() {
  const buttons = [...document.querySelectorAll("nav button")];
  const wide = matchMedia("(min-width: 900px)");
  const show = (tab) => {
    document.body.dataset.tab = tab;
    for (const each of buttons) setAttribute(each, "aria-current", each.dataset.tab === tab ? "page" : "false");
    document.dispatchEvent(new CustomEvent("tab", { detail: tab }));
  };
  for (const each of buttons) each.addEventListener("click", () => show(each.dataset.tab));
  const settle = () => show(wide.matches && document.body.dataset.tab === "stage" ? "sound" : document.body.dataset.tab);
  wide.addEventListener("change", settle);
  settle();
  return show;
}
