"use strict";
// The playground: what the controls say is asked for, one preview at a time, and the newest wish wins.
(() => {
  const byId = (name) => document.getElementById(name);
  const form = byId("playground");
  if (!form) return;
  const FRAME_STEPS = 5, SPOKEN_AFTER_MS = 700, AGAIN_MS = 1000;
  // Nobody answered in time, or all were busy: the first preview of a worker takes seconds.
  const PASSING = [429, 503, 504];
  const state = { sample: null, offset: 0, panels: [], moved: null, busy: false, stale: false, growing: false, starts: null, seed: 0, frames: 0 };
  const option = (select) => byId(select).selectedOptions[0];
  const shape = () => option("model").dataset.shape.split(",").map(Number);
  const fooling = () => byId("attack").value === "fooling_gradient";
  const drawing = () => form.elements.source.value === "drawn";
  const pad = new Pad(byId("pad"), () => wish());

  // ---- what is asked for

  function models() {
    const beside = option("hardened");
    const fits = beside.value && beside.value !== byId("model").value && beside.dataset.shape === option("model").dataset.shape && beside.dataset.classes === option("model").dataset.classes;
    return [option("model"), ...(fits ? [beside] : [])];
  }

  function picture() {
    if (drawing()) return pad.empty ? null : { drawn: { shape: shape(), uint8: Pictures.text(pad.levels(shape())) } };
    return state.sample && { sample: state.sample };
  }

  function attack() {
    const kind = byId("attack").value, asked = { kind, epsilon: Number(byId("epsilon").value) };
    if (kind !== "fgsm") asked.steps = Math.min(50, Math.max(1, Math.round(Number(byId("steps").value)) || 1));
    if (kind !== "iterative_least_likely" && byId("target").value) asked.target = Number(byId("target").value);
    return asked;
  }

  // ---- one preview at a time

  // Something was moved: ask, or remember to ask once the answer under way is there.
  function wish() {
    if (fooling()) return;
    state.moved = state.moved ?? performance.now();
    if (state.busy) { state.stale = true; return; }
    const shown = picture();
    if (!shown) { state.moved = null; return; }
    const since = state.moved;
    state.moved = null;
    const request = { models: models().map((one) => one.value), ...shown, attack: attack(), seed: state.seed };
    run(async () => {
      const found = await Console.send("POST", "/playground/preview", request);
      const before = Pictures.floats(found.original);
      draw(since, found.seconds, found.models.map((one, at) => state.panels[at] ? state.panels[at].show(one, before, found.shape) : ""), request.attack.epsilon);
    });
  }

  async function run(work) {
    state.busy = true;
    try {
      await work();
      byId("trouble").hidden = true;
    } catch (error) {
      complain(error);
      state.stale = state.stale || PASSING.includes(error.status);
      state.growing = false;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
    state.busy = false;
    if (state.stale) { state.stale = false; wish(); } else if (state.growing) grow();
    sayGrowing();
  }

  function complain(error) {
    const again = PASSING.includes(error.status) ? " Trying again." : "";
    byId("trouble").textContent = error.message + again;
    byId("trouble").hidden = false;
  }

  function draw(since, seconds, verdicts, epsilon) {
    speak(verdicts);
    requestAnimationFrame(() => {
      const took = performance.now() - since;
      byId("took").textContent = `${took.toFixed(0)} ms`;
      byId("computed").textContent = `from your movement to the picture, ${(1000 * seconds).toFixed(0)} ms of them in the worker`;
      document.dispatchEvent(new CustomEvent("playground:drawn", { detail: { took, seconds, epsilon } }));
    });
  }

  // Screen readers hear where a movement has led, not every step of it.
  function speak(verdicts) {
    clearTimeout(state.speaking);
    const words = models().map((one, at) => `${one.textContent}: ${verdicts[at]}.`).join(" ");
    state.speaking = setTimeout(() => { byId("spoken").textContent = words; }, SPOKEN_AFTER_MS);
  }

  // ---- a fooling image, some steps at a time; every model grows its own

  function grow() {
    const since = performance.now(), first = state.starts === null, blank = shape().reduce((size, side) => size * side, 1);
    const target = Number(byId("target").value || 0);
    run(async () => {
      const found = await Promise.all(models().map((one, at) => {
        const drawn = first ? { shape: shape(), uint8: Pictures.text(new Uint8Array(blank)) } : { shape: shape(), float32: state.starts[at] };
        const asked = { kind: "fooling_gradient", steps: FRAME_STEPS, from_sample: !first, target };
        return Console.send("POST", "/playground/preview", { models: [one.value], drawn, attack: asked, seed: state.seed });
      }));
      if (!fooling()) return;
      const verdicts = found.map((answer, at) => state.panels[at].show(answer.models[0], Pictures.floats(first ? answer.models[0].adversarial : answer.original), answer.shape, `after ${FRAME_STEPS * (state.frames + 1)} steps`));
      state.starts = found.map((answer) => answer.models[0].adversarial);
      state.frames += 1;
      draw(since, Math.max(...found.map((answer) => answer.seconds)), verdicts, 1);
      if (FRAME_STEPS * state.frames >= 500) state.growing = false;
    });
  }

  function fresh() {
    Object.assign(state, { starts: null, frames: 0, growing: false });
    sayGrowing();
  }

  function sayGrowing() {
    byId("grow").textContent = state.growing ? "Pause" : "Grow";
    byId("grown").textContent = state.frames ? `${FRAME_STEPS * state.frames} steps` : "";
  }

  // ---- controls

  function arrange() {
    const wanted = models();
    if (wanted.map((one) => one.value).join() !== state.panels.map((panel) => panel.element.dataset.model).join()) {
      state.panels = wanted.map((one) => new Panel(one.value, one.textContent));
      byId("panels").replaceChildren(...state.panels.map((panel) => panel.element));
    }
    const kind = byId("attack").value, classes = Number(option("model").dataset.classes), chosen = byId("target").value;
    const names = Array.from({ length: classes }, (_, label) => new Option(`class ${label}`, label));
    byId("target").replaceChildren(...(fooling() ? [] : [new Option("any wrong class", "")]), ...names);
    byId("target").value = chosen && Number(chosen) < classes ? chosen : fooling() ? "0" : "";
    byId("target-field").hidden = kind === "iterative_least_likely";
    byId("steps-field").hidden = kind === "fgsm" || fooling();
    byId("epsilon-field").hidden = fooling();
    byId("growing").hidden = !fooling();
    byId("picture").hidden = fooling();
    byId("from-drawing").hidden = !drawing();
    byId("from-sample").hidden = drawing();
    fresh();
  }

  function sayEpsilon() {
    const said = Pictures.radius(Number(byId("epsilon").value));
    byId("epsilon-said").textContent = said;
    byId("epsilon").setAttribute("aria-valuetext", said);
  }

  async function strip() {
    const dataset = byId("dataset").value, sides = option("dataset").dataset.shape;
    if (sides !== option("model").dataset.shape) {
      byId("strip").replaceChildren();
      state.sample = null;
      byId("range").textContent = `These pictures do not fit the model, which takes ${shape().join(" × ")}.`;
      return;
    }
    byId("range").textContent = "Asking a worker for the pictures; the first time it takes seconds.";
    try {
      const found = await Console.send("GET", `/playground/samples?dataset=${encodeURIComponent(dataset)}&offset=${state.offset}`);
      state.total = found.total;
      byId("strip").replaceChildren(...found.samples.map((one) => thumbnail(one, dataset, found)));
      byId("range").textContent = `${found.samples[0].index} to ${found.samples.at(-1).index} of ${found.total} (${found.split})`;
      byId("trouble").hidden = true;
      byId("strip").firstElementChild.click();
    } catch (error) {
      complain(error);
      if (PASSING.includes(error.status)) setTimeout(strip, AGAIN_MS);
    }
  }

  function thumbnail(one, dataset, found) {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    button.type = "button";
    button.title = `sample ${one.index}, class ${one.label}`;
    button.setAttribute("aria-label", button.title);
    button.setAttribute("aria-pressed", "false");
    Pictures.paint(canvas, found.shape, Pictures.bytes(one.pixels), (level) => level);
    button.append(canvas, String(one.label));
    button.addEventListener("click", () => {
      for (const other of byId("strip").children) other.setAttribute("aria-pressed", String(other === button));
      state.sample = { dataset, split: found.split, index: one.index };
      wish();
    });
    return button;
  }

  function step(by) {
    state.offset = Math.max(0, Math.min(state.offset + by, (state.total ?? 1) - 1));
    strip();
  }

  byId("epsilon").addEventListener("input", () => { sayEpsilon(); wish(); });
  byId("steps").addEventListener("input", () => wish());
  for (const name of ["model", "hardened", "attack"]) byId(name).addEventListener("change", () => { arrange(); if (name === "model") strip(); else wish(); });
  byId("target").addEventListener("change", () => { if (fooling()) fresh(); else wish(); });
  byId("dataset").addEventListener("change", () => { state.offset = 0; strip(); });
  for (const source of form.elements.source) source.addEventListener("change", () => { arrange(); wish(); });
  byId("earlier").addEventListener("click", () => step(-12));
  byId("later").addEventListener("click", () => step(12));
  byId("clear").addEventListener("click", () => pad.clear());
  byId("grow").addEventListener("click", () => { state.growing = !state.growing; if (state.growing && !state.busy) grow(); sayGrowing(); });
  byId("again").addEventListener("click", () => { state.seed += 1; fresh(); state.growing = true; if (!state.busy) grow(); sayGrowing(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  // A dataset that fits the model comes first.
  const fitting = Array.from(byId("dataset").options).find((one) => one.dataset.shape === option("model").dataset.shape);
  if (fitting && option("dataset").dataset.shape !== option("model").dataset.shape) fitting.selected = true;
  arrange();
  sayEpsilon();
  strip();
})();
