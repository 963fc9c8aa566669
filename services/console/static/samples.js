"use strict";
// Pictures of a dataset, which a worker has to read.
(() => {
  const place = document.getElementById("samples");
  if (!place) return;
  async function load(offset) {
    place.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(`${place.dataset.address}&offset=${offset}`, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(String(answer.status));
      place.innerHTML = await answer.text();
    } catch {
      const again = document.createElement("button");
      again.className = "quiet";
      again.dataset.offset = offset;
      again.textContent = "Try again";
      place.replaceChildren("No pictures could be had: no worker that can read them answers just now. ", again);
    }
    place.setAttribute("aria-busy", "false");
  }
  place.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-offset]");
    if (button) load(button.dataset.offset);
  });
  load(0);
})();
