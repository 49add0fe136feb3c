// Keys, the same as in the terminal view.

const SWITCHES = {
  v: "vocals_mute",
  V: "vocals_solo",
  i: "instrumental_mute",
  I: "instrumental_solo",
  b: "bypass",
  k: "mask",
};

export function listenToKeys(knobs, file, takes) {
  addEventListener("keydown", (event) => {
    const plain = event.getModifierState("AltGraph") || !(event.ctrlKey || event.altKey); // AltGr makes [ ]
    if (!plain || event.metaKey || event.isComposing) return;
    const { target } = event;
    if (target.matches("input:not([type=range]), textarea, select")) return;
    const stretch = { "[": ["speed", -0.05], "]": ["speed", 0.05], "(": ["key", -1], ")": ["key", 1] }[event.key];
    const turn = { ",": -0.05, ".": 0.05 }[event.key];
    if (event.key in SWITCHES && !event.repeat) knobs.toggle(SWITCHES[event.key]);
    else if (turn) knobs.set("balance", Math.min(1, Math.max(0, Number((knobs.value("balance") + turn).toFixed(2)))));
    else if (stretch) file.stretch.step(...stretch);
    else if (event.key === "t") file.pause();
    else if (event.key === "<") file.skip(-5);
    else if (event.key === ">") file.skip(5);
    else if (event.key === "a") file.loopHere();
    else if (event.key === "r" && !event.repeat) takes.toggle();
    else return;
    event.preventDefault();
  });
}
