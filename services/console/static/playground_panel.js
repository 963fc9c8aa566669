"use strict";
// A panel of the playground: one model's pictures, its probabilities before and after, and the sentence above them.
const SHOWN_CLASSES = 10;

class Panel {
  constructor(name, words) {
    this.element = document.getElementById("panel").content.firstElementChild.cloneNode(true);
    this.element.dataset.model = name;
    this.part = (selector) => this.element.querySelector(selector);
    this.part("h2").textContent = words;
    this.rows = [];
  }

  // `found` is what the console says of one model; `before` and `shape` are the picture that the attack began with;
  // `grown` says how far a fooling image has come, where it is one.
  show(found, before, shape, grown) {
    const captions = grown === undefined ? ["Original", "Perturbation", "Adversarial"] : ["Five steps ago", "Change", "Now"];
    this.element.querySelectorAll(".caption").forEach((caption, at) => { caption.textContent = captions[at]; });
    const after = found.adversarial ? Pictures.floats(found.adversarial) : before;
    const changed = after.map((value, at) => value - before[at]);
    const most = changed.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    Pictures.paint(this.part(".original"), shape, before, (value) => 255 * value);
    Pictures.paint(this.part(".adversarial"), shape, after, (value) => 255 * value);
    Pictures.paint(this.part(".perturbation"), shape, changed, (value) => 127.5 + (most ? 127.5 * value / most : 0));
    this.part(".scale").textContent = most ? `white +${most.toFixed(3)}, black −${most.toFixed(3)}, grey 0` : "no change";
    this.bars(found);
    const verdict = this.verdict(found, grown);
    this.part(".verdict").textContent = verdict;
    const share = grown === undefined ? `largest change ${Pictures.radius(most)}` : grown;
    this.part(".cost").textContent = `${share}; ${found.forwards} forward and ${found.backwards} backward passes`;
    for (const [name, words] of [["original", "the picture before"], ["perturbation", `the change, ${this.part(".scale").textContent}`], ["adversarial", "the picture after"]]) {
      this.part(`.${name}`).setAttribute("aria-label", words);
    }
    return verdict;
  }

  verdict(found, grown) {
    const best = (levels) => levels.reduce((top, level, at) => (level > levels[top] ? at : top), 0);
    const percent = (level) => `${(100 * level).toFixed(level > 0.995 && level < 1 ? 1 : 0)}\u00a0%`;
    const from = best(found.before), to = best(found.after);
    const start = `${from} with ${percent(found.before[from])}`, end = `${to} with ${percent(found.after[to])}`;
    if (grown !== undefined) return `${grown} ${end}`;
    if (found.target === null && !found.attacked && found.label !== from) return `${start}, though it is a ${found.label}: wrong before any attack`;
    if (from === to) return `${start} stays ${end}`;
    return `${start} becomes ${end}`;
  }

  // Two bars and two numbers for each class; of many classes, those that matter.
  bars(found) {
    const classes = found.before.map((_, label) => label);
    const weight = (label) => Math.max(found.before[label], found.after[label]);
    const shown = classes.length <= SHOWN_CLASSES ? classes : classes.sort((a, b) => weight(b) - weight(a)).slice(0, SHOWN_CLASSES);
    while (this.rows.length < shown.length) this.rows.push(this.row());
    this.rows.forEach((row, at) => {
      row.element.hidden = at >= shown.length;
      if (row.element.hidden) return;
      const label = shown[at];
      row.name.textContent = label;
      row.element.classList.toggle("label", label === found.label);
      row.name.title = label === found.label ? "the class that the attack starts from" : "";
      [found.before, found.after].forEach((levels, column) => {
        row.bars[column].style.transform = `scaleX(${levels[label]})`;
        row.numbers[column].textContent = `${(100 * levels[label]).toFixed(1)} %`;
      });
    });
  }

  row() {
    const element = this.part("tbody").insertRow(), name = document.createElement("th");
    name.scope = "row";
    element.append(name);
    const bars = [], numbers = [];
    for (let column = 0; column < 2; column++) {
      const level = document.createElement("div"), bar = document.createElement("i"), number = document.createElement("span");
      level.className = "level";
      level.append(bar, number);
      element.insertCell().append(level);
      bars.push(bar);
      numbers.push(number);
    }
    return { element, name, bars, numbers };
  }
}
