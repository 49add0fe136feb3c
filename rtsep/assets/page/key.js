// The key behind the # of the address. A browser that rtsep opens gets a word that is good once: other users of
// the computer can read with which address a program was started.

const ONCE = "once-";

export async function findKey() {
  const key = location.hash.slice(1);
  if (!key.startsWith(ONCE)) return key;
  try {
    const headers = { Authorization: `Bearer ${key.slice(ONCE.length)}` };
    const answer = await fetch("/key", { method: "POST", headers });
    if (!answer.ok) return "";
    const { key: found } = await answer.json();
    history.replaceState(null, "", `#${found}`);
    return found;
  } catch {
    return "";
  }
}
