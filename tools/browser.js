// What is wrong with how a page looks: a list of sentences, empty for a page that is as it should be.
(() => {
  const faults = [];
  const SLACK = 1.5; // of a pixel, for rounding
  const told = (element) => {
    const text = (element.getAttribute("aria-label") || element.textContent).replace(/\s+/g, " ").trim().slice(0, 60);
    return `<${element.tagName.toLowerCase()}${element.className && element.className.baseVal === undefined ? "." + element.className : ""}> "${text}"`;
  };
  const shown = (element) => element.checkVisibility() && element.getClientRects().length > 0;
  // Where an element can be seen: its own box, cut by every box around it that scrolls.
  const seen = (element) => {
    let box = element.getBoundingClientRect();
    let { left, right, top, bottom } = box;
    for (let up = element.parentElement; up; up = up.parentElement) {
      const style = getComputedStyle(up);
      if (style.overflowX === "visible" && style.overflowY === "visible") continue;
      const around = up.getBoundingClientRect();
      left = Math.max(left, around.left);
      right = Math.min(right, around.right);
      top = Math.max(top, around.top);
      bottom = Math.min(bottom, around.bottom);
    }
    return { left, right, top, bottom };
  };
  const overlap = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > SLACK &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > SLACK;

  // Blocks that have to keep clear of each other, unless one is inside the other.
  const blocks = [...document.querySelectorAll("h1, h2, h3, p, dl, ul, pre, table, figure, figcaption, summary, svg, .legend")].filter(shown);
  const boxes = blocks.map(seen);
  for (let i = 0; i < blocks.length; i++)
    for (let j = i + 1; j < blocks.length; j++)
      if (!blocks[i].contains(blocks[j]) && !blocks[j].contains(blocks[i]) && overlap(boxes[i], boxes[j]))
        faults.push(`${told(blocks[i])} overlaps ${told(blocks[j])}`);

  // Words inside one drawing, and cells of a table with what is in the next one.
  for (const drawing of document.querySelectorAll("svg")) {
    if (!shown(drawing)) continue;
    const words = [...drawing.querySelectorAll("text")].filter((text) => text.textContent.trim());
    const places = words.map((text) => text.getBoundingClientRect());
    const frame = drawing.getBoundingClientRect();
    words.forEach((text, i) => {
      const place = places[i];
      if (place.left < frame.left - SLACK || place.right > frame.right + SLACK || place.top < frame.top - SLACK || place.bottom > frame.bottom + SLACK)
        faults.push(`${told(text)} sticks out of ${told(drawing)}`);
      for (let j = i + 1; j < words.length; j++)
        if (overlap(place, places[j])) faults.push(`in ${told(drawing)}: ${told(text)} overlaps ${told(words[j])}`);
    });
    const bars = "path, use, rect, circle, line, polyline, polygon";
    const marks = [...drawing.querySelectorAll(bars)].filter((mark) => {
      if (mark.closest("defs, clipPath")) return false;
      const box = mark.getBoundingClientRect();
      const style = getComputedStyle(mark);
      const painted = (style.stroke !== "none" && parseFloat(style.strokeWidth) > 0) || style.fill !== "none";
      return painted && box.width + box.height > 2;
    });
    const colours = new Set(marks.map((mark) => getComputedStyle(mark).stroke + getComputedStyle(mark).fill));
    if (marks.length < 3 || colours.size < 2) faults.push(`${told(drawing)} is an empty drawing`);
  }
  for (const cell of document.querySelectorAll("th, td"))
    if (shown(cell) && cell.scrollWidth > cell.clientWidth + SLACK) faults.push(`${told(cell)} does not fit into its cell`);

  // Nothing is cut off at the right: what is wider than the page has to scroll by itself.
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) faults.push(`the page is ${document.documentElement.scrollWidth} pixels wide, not ${width}`);
  for (const element of document.querySelectorAll("body *")) {
    if (!shown(element) || element.closest("svg") !== null && element.tagName !== "svg") continue;
    const box = seen(element);
    if (box.right > width + SLACK && box.right > box.left) faults.push(`${told(element)} sticks out to the right by ${Math.round(box.right - width)} pixels`);
  }

  // Words that are torn in the middle, as columns are too narrow for them.
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const around = node.parentElement;
    if (around.closest("pre, code, .mono, style") || !shown(around)) continue;
    for (const word of node.data.matchAll(/[\p{L}\d.,%<>+]+/gu)) {
      if (word[0].length > 22) continue;
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].filter((box) => box.width > 0).map((box) => Math.round(box.top)));
      if (lines.size > 1) faults.push(`"${word[0]}" is torn in ${told(around)}`);
    }
  }

  for (const image of document.images)
    if (!(image.complete && image.naturalWidth > 0)) faults.push(`a picture has not loaded: ${image.alt}`);

  // Words that can't be told from what is behind them.
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\d.]+/g).map(Number).map((level) => {
      const share = level / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = getComputedStyle(document.body).backgroundColor;
  for (const element of document.querySelectorAll("h1, h2, h3, p, td, th, dt, dd, li, summary, .soft, .badge, svg text")) {
    if (!shown(element) || !element.textContent.trim()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(element.closest("svg") ? style.fill : style.color), light(ground)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 3) faults.push(`${told(element)} can't be read on its ground`);
  }
  return faults;
})();
