"use strict";
// A job's page: where it stands, its units and its numbered events, each shown once whatever breaks meanwhile.
(() => {
  const KEPT = 500;
  const AGAIN_MS = 1500;
  const status = document.getElementById("status");
  const lost = document.getElementById("lost");
  const log = document.getElementById("log");
  const units = document.getElementById("units");
  const rowOf = new Map();
  let last = 0, shown = 0, ended = status.dataset.ended === "1", source;

  const cell = (row, text, kind) => { const made = row.insertCell(); made.textContent = text; if (kind) made.className = kind; };
  const part = (text) => { const made = document.createElement("span"); made.textContent = text; return made; };
  const trouble = (words) => { if (lost.hidden || lost.textContent !== words) { lost.textContent = words; lost.hidden = false; } };
  const fine = () => { lost.hidden = true; };

  function onLog(event) {
    const told = JSON.parse(event.data);
    if (told.id <= last) return;
    last = told.id;
    const line = document.createElement("li");
    line.append(part(String(told.id)), part(told.time), part(told.text));
    line.dataset.id = told.id;
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 30;
    log.append(line);
    shown += 1;
    while (log.childElementCount > KEPT) log.firstElementChild.remove();
    document.getElementById("log-count").textContent = shown > KEPT ? `The last ${KEPT} of ${shown}.` : "";
    if (atEnd) log.scrollTop = log.scrollHeight;
    if (told.change) onUnit(told);
    if (told.kind === "state_change") document.getElementById("spoken").textContent = `The job is ${told.text}`;
  }

  function onUnit(told) {
    document.getElementById("no-units").hidden = true;
    document.getElementById("units-box").hidden = false;
    if (!rowOf.has(told.unit)) rowOf.set(told.unit, units.insertRow());
    const row = rowOf.get(told.unit);
    row.replaceChildren();
    cell(row, told.unit, "figure");
    cell(row, told.cause ? `${told.change}: ${told.cause}` : told.change);
    cell(row, told.attempt, "figure");
    cell(row, told.worker, "mono");
  }

  async function onStatus(event) {
    const told = JSON.parse(event.data);
    fine();
    status.innerHTML = told.html;
    if (!told.ended || ended) return;
    ended = true;
    const answer = await fetch(status.dataset.result);
    if (!answer.ok) { location.reload(); return; }
    document.getElementById("result").innerHTML = await answer.text();
    document.querySelectorAll(".while-running").forEach((form) => { form.hidden = true; });
    document.querySelectorAll(".when-ended").forEach((form) => { form.hidden = false; });
    const succeeded = status.querySelector(".state.succeeded") !== null;
    document.querySelectorAll(".may-retry").forEach((form) => { form.hidden = succeeded; });
  }

  function connect() {
    source = new EventSource(`${status.dataset.events}?after=${last}`);
    source.addEventListener("log", onLog);
    source.addEventListener("status", onStatus);
    source.addEventListener("lost", () => trouble("Connection to the service lost, trying again …"));
    source.addEventListener("gone", (event) => { trouble(JSON.parse(event.data).message); source.close(); });
    source.addEventListener("end", () => source.close());
    source.addEventListener("error", () => {
      trouble("Connection to the console lost, trying again …");
      // The browser gives up where it was answered by an error; this page does not.
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS);
    });
  }
  connect();
  window.addEventListener("pagehide", () => source.close());
})();
