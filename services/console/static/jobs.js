"use strict";
// The list of jobs, kept as it is in the service.
(() => {
  const rows = document.getElementById("rows");
  const live = document.getElementById("live");
  const source = new EventSource(rows.dataset.events);
  const say = (words) => { if (live.textContent !== words) live.textContent = words; };

  source.addEventListener("status", (event) => {
    // The link that has the focus keeps it.
    const focused = rows.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    rows.innerHTML = JSON.parse(event.data).rows;
    if (focused !== null) {
      const again = [...rows.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused);
      if (again) again.focus();
    }
    say("Live: changes appear by themselves.");
  });
  source.addEventListener("lost", () => say("Connection to the service lost, trying again …"));
  source.addEventListener("gone", (event) => { say(JSON.parse(event.data).message); source.close(); });
  source.addEventListener("error", () => say("Connection to the console lost, trying again …"));
})();
