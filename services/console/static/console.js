"use strict";
// What every page has: the token of changing requests, short messages, and questions before something is deleted.
const Console = {
  token: () => document.querySelector('meta[name="csrf-token"]').content,

  // Sends JSON with the token and gives the answer's JSON; throws an Error with what the console says.
  async send(method, path, body) {
    const headers = { "X-CSRF-Token": Console.token(), "Accept": "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch {
      throw new Error("The console does not answer; is it running?");
    }
    const found = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      const error = new Error(found.error ? found.error.message : `The console answered ${answer.status}.`);
      error.fields = found.error && found.error.fields ? found.error.fields : [];
      error.status = answer.status;
      throw error;
    }
    return found;
  },

  // A message that screen readers speak, too; it stays for so many seconds.
  say(words, seconds = 6) {
    const toast = document.getElementById("toast");
    toast.textContent = words;
    clearTimeout(Console.timer);
    Console.timer = setTimeout(() => { toast.textContent = ""; }, 1000 * seconds);
  },
};

// On a phone each row of a table is a card, so each cell says what its column is called.
function labelCells() {
  for (const table of document.querySelectorAll("main table:not(.counts)")) {
    const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    for (const row of table.tBodies[0] ? table.tBodies[0].rows : []) {
      [...row.cells].forEach((cell, at) => { if (heads[at] && cell.colSpan === 1) cell.setAttribute("data-label", heads[at]); });
    }
    table.classList.add("labelled");
  }
}
document.addEventListener("DOMContentLoaded", () => {
  labelCells();
  new MutationObserver(labelCells).observe(document.getElementById("main"), { childList: true, subtree: true });
});

document.addEventListener("submit", (event) => {
  // Not `dataset`: a form that has a field of that name hides it.
  const question = event.target.getAttribute("data-confirm");
  if (question && !window.confirm(question)) event.preventDefault();
});
