"use strict";
// Pictures of the playground: base64 to numbers and back, drawing on canvases, and the pad to draw on.
const Pictures = {
  bytes(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  },

  floats(text) {
    return new Float32Array(Pictures.bytes(text).buffer);
  },

  text(bytes) {
    let letters = "";
    for (let at = 0; at < bytes.length; at += 32768) letters += String.fromCharCode(...bytes.subarray(at, at + 32768));
    return btoa(letters);
  },

  // Paints values of (channels, height, width); `level` makes each of them a grey level from 0 to 255.
  paint(canvas, shape, values, level) {
    const [channels, height, width] = shape;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const image = new ImageData(width, height), plane = width * height;
    for (let at = 0; at < plane; at++) {
      for (let colour = 0; colour < 3; colour++) {
        image.data[4 * at + colour] = level(values[at + (channels === 3 ? colour * plane : 0)]);
      }
      image.data[4 * at + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  },

  // 1/255 as "0.00392 (1/255)"; whole 255ths only.
  radius(epsilon) {
    const levels = epsilon * 255, whole = Math.round(levels);
    const about = Math.abs(levels - whole) < 0.01 ? "" : "≈ ";
    return `${Number(epsilon.toFixed(3))} (${about}${whole}/255)`;
  },
};

// A pad for mouse, pen or finger; what was drawn is fitted into the middle of a picture, as MNIST's digits are.
class Pad {
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.changed = changed;
    this.clear();
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); this.last = this.at(event); this.to(event); });
    canvas.addEventListener("pointermove", (event) => { if (this.last) this.to(event); });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { this.last = null; });
  }

  clear() {
    this.last = null;
    this.empty = true;
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * this.canvas.width / box.width, (event.clientY - box.top) * this.canvas.height / box.height];
  }

  to(event) {
    const place = this.at(event), context = this.context;
    Object.assign(context, { strokeStyle: "#fff", lineWidth: this.canvas.width / 12, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(...this.last);
    context.lineTo(...place);
    context.stroke();
    this.last = place;
    this.empty = false;
    this.changed();
  }

  // The smallest box around what was drawn: left, top, width, height.
  box() {
    const { width, height } = this.canvas, data = this.context.getImageData(0, 0, width, height).data;
    let [left, top, right, bottom] = [width, height, 0, 0];
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      if (data[4 * (y * width + x)] > 32) { left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y); }
    }
    return [left, top, Math.max(1, right - left + 1), Math.max(1, bottom - top + 1)];
  }

  // Grey levels of (channels, height, width): the drawing at 5/7 of the side, its centre of mass in the middle.
  levels(shape) {
    const [channels, height, width] = shape, plane = width * height;
    const small = new OffscreenCanvas(width, height), context = small.getContext("2d", { willReadFrequently: true });
    const found = new Uint8Array(channels * plane);
    if (this.empty) return found;
    const [left, top, wide, high] = this.box(), scale = (Math.min(width, height) * 5 / 7) / Math.max(wide, high);
    const put = (x, y) => {
      context.fillStyle = "#000";
      context.fillRect(0, 0, width, height);
      context.imageSmoothingQuality = "high";
      context.drawImage(this.canvas, left, top, wide, high, x, y, wide * scale, high * scale);
      return context.getImageData(0, 0, width, height).data;
    };
    const x = (width - wide * scale) / 2, y = (height - high * scale) / 2;
    let data = put(x, y), mass = 0, across = 0, down = 0;
    for (let at = 0; at < plane; at++) { mass += data[4 * at]; across += data[4 * at] * (at % width); down += data[4 * at] * Math.floor(at / width); }
    if (mass > 0) data = put(x + Math.round((width - 1) / 2 - across / mass), y + Math.round((height - 1) / 2 - down / mass));
    for (let at = 0; at < channels * plane; at++) found[at] = data[4 * (at % plane)];
    return found;
  }
}
