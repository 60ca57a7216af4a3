// The live panel: a picture with the loss curve beside it, a slider back through the pictures, words, and a button
// that finishes the run. Plain elements in the colours of the page, light or dark.
import { TERMS, drawCurve, termsIn } from "./curve.js";

const STYLE = `
.nst-live { display: flex; flex-direction: column; gap: 6px; box-sizing: border-box; overflow: hidden;
  padding: 6px 8px; border-radius: 6px; font: 11px/1.4 Inter, Arial, sans-serif;
  color: var(--input-text, #ccc); background: var(--comfy-input-bg, #222); }
.nst-live[hidden], .nst-live [hidden] { display: none !important; }
.nst-live-views { display: flex; gap: 8px; flex: 1 1 0; min-height: 0; }
.nst-live-picture { flex: 0 1 40%; min-width: 0; height: 100%; object-fit: contain; object-position: left center; }
.nst-live-tall { flex-direction: column; }
.nst-live-tall .nst-live-picture { flex: 1 1 0; min-height: 0; width: 100%; object-position: center; }
.nst-live-tall .nst-live-graph { flex: none; height: 104px; }
.nst-live-graph { position: relative; flex: 1 1 0; min-width: 0; display: flex; flex-direction: column; gap: 2px; }
.nst-live-graph canvas { flex: 1 1 0; min-height: 0; width: 100%; }
.nst-live-legend { display: flex; flex-wrap: wrap; gap: 0 8px; }
.nst-live input[type="range"] { width: 100%; margin: 0; height: 14px; accent-color: currentColor; }
.nst-live-foot { display: flex; gap: 8px; align-items: center; min-height: 24px; }
.nst-live-words { flex: 1 1 0; min-width: 0; font-variant-numeric: tabular-nums; }
.nst-live-error { overflow-y: auto; flex: 0 1 auto; min-height: 0; padding-left: 8px; overflow-wrap: anywhere;
  user-select: text; border-left: 3px solid var(--error-text, #ff4444); }
.nst-live button { flex: none; padding: 3px 10px; border: 1px solid var(--border-color, #4e4e4e); border-radius: 4px;
  font: inherit; color: inherit; background: var(--comfy-menu-bg, #353535); cursor: pointer; }
.nst-live button:hover:enabled { filter: brightness(1.15); }
.nst-live button:disabled { opacity: 0.6; cursor: default; }
.lg-node-widgets:has(.nst-live) { align-content: start; }
.lg-node-widgets:has(.nst-live) .comfy-markdown-content { min-height: 0; }
`;

// Heights, the frame that the host leaves around a widget included.
export const MARGIN = 10;
const FRAME = 2 * (MARGIN + 6);
const LINE = 16;
const FOOT = 24;
const VIEWS = 136; // picture, curve, slider
const TALL = 230; // from here on, picture and curve have more room below each other
const CHARACTERS = 36; // of a narrow node's line
const HOSTS_CHARACTER = 6; // width and height of the host's own letters
const HOSTS_LINE = 18;

export function addStyle() {
  const style = document.createElement("style");
  style.textContent = STYLE;
  document.head.append(style);
}

// Of the words that the host shows on a node of this width.
export function heightOfWords(text, width) {
  const lines = Math.max(1, Math.ceil((text.length * HOSTS_CHARACTER) / (width - FRAME)));
  return 2 * MARGIN + lines * HOSTS_LINE;
}

export class Panel {
  // `finish(run)` is called by the button, `resized()` when the height that is wanted has changed; `isSaid()` is
  // whether the host shows the run's words on this node already.
  constructor({ finish, resized, isSaid }) {
    this.finish = finish;
    this.resized = resized;
    this.isSaid = isSaid;
    this.run = undefined;
    this.at = undefined; // step of the picture that is looked at; none: the newest
    this.drawing = 0;
    this.height = FRAME + FOOT;
    const { update } = this;
    this.update = () => update.call(this);
    this.build();
    this.observer = new ResizeObserver(this.update);
    this.observer.observe(this.element);
  }

  build() {
    this.element = made("div", "nst-live");
    this.image = made("img", "nst-live-picture");
    this.image.alt = "Preview";
    this.canvas = made("canvas");
    this.legend = made("div", "nst-live-legend");
    this.slider = made("input");
    Object.assign(this.slider, { type: "range", min: 0, step: 1, title: "Back through the previews" });
    this.words = made("div", "nst-live-words");
    this.error = made("div", "nst-live-error");
    this.error.setAttribute("role", "alert");
    this.button = made("button");
    Object.assign(this.button, { type: "button", title: "End this run with the next step and keep its picture" });
    this.graph = made("div", "nst-live-graph", this.canvas, this.legend);
    this.views = made("div", "nst-live-views", this.image, this.graph);
    this.foot = made("div", "nst-live-foot", this.words, this.button);
    this.element.append(this.views, this.slider, this.error, this.foot);
    this.slider.addEventListener("input", () => this.lookAt(Number(this.slider.value)));
    this.button.addEventListener("click", () => this.run && this.finish(this.run));
    // Dragging the slider must not drag the node.
    for (const event of ["pointerdown", "mousedown", "dblclick"]) {
      this.element.addEventListener(event, (e) => e.target !== this.element && e.stopPropagation());
    }
  }

  show(run) {
    if (run === this.run) return;
    this.run?.removeEventListener("change", this.update);
    this.run = run;
    this.at = undefined;
    run.addEventListener("change", this.update);
    this.update();
  }

  dispose() {
    this.run?.removeEventListener("change", this.update);
    this.run = undefined;
    this.observer.disconnect();
    cancelAnimationFrame(this.drawing);
    this.element.remove();
  }

  get hasViews() {
    return Boolean(this.run?.points.length);
  }

  inView() {
    const { width, height, left, right, top, bottom } = this.element.getBoundingClientRect();
    return width > 0 && height > 0 && right > 0 && bottom > 0 && left < innerWidth && top < innerHeight;
  }

  lookAt(index) {
    const { pictures } = this.run;
    this.at = index < pictures.length - 1 ? pictures[index].step : undefined;
    this.update();
  }

  // However often something changes: once a frame.
  update() {
    cancelAnimationFrame(this.drawing);
    this.drawing = requestAnimationFrame(() => this.run && this.draw(this.run));
  }

  draw(run) {
    const { pictures, points } = run;
    // Of those that were dropped, the one before. There is none in the next picture of a batch: then, the newest.
    const index = this.at === undefined ? -1 : pictures.findLastIndex((one) => one.step <= this.at);
    const looking = index >= 0;
    if (!looking) this.at = undefined;
    const shown = pictures.at(index);
    this.views.hidden = !this.hasViews;
    this.views.classList.toggle("nst-live-tall", Boolean(shown) && this.views.clientHeight > TALL);
    this.image.hidden = !shown;
    if (shown && this.image.src !== shown.source) this.image.src = shown.source;
    this.slider.hidden = pictures.length < 2;
    this.slider.max = Math.max(0, pictures.length - 1);
    this.slider.value = looking ? index : pictures.length - 1;
    this.words.textContent = looking ? `Step ${shown.step} of ${run.steps}` : this.saying(run);
    this.error.textContent = run.error;
    this.error.hidden = !run.error;
    this.button.hidden = run.state !== "running";
    this.button.disabled = run.finishing;
    this.button.textContent = run.finishing ? "Finishing…" : "Finish now";
    this.foot.hidden = this.button.hidden && !this.words.textContent;
    this.element.hidden = !this.hasViews && !run.error && this.foot.hidden;
    this.legend.replaceChildren(...termsIn(points).map(entry));
    this.fit(run);
    if (points.length) drawCurve(this.canvas, points, looking ? shown.step : undefined);
  }

  saying(run) {
    if (run.error) return "";
    if (!this.isSaid()) return run.text;
    const loss = run.points.at(-1)?.[1];
    return loss ? `Loss ${loss.toPrecision(3)}` : "";
  }

  fit(run) {
    const foot = Math.max(FOOT, linesOf(this.words.textContent) * LINE);
    const parts = [this.hasViews && VIEWS, linesOf(run.error) * LINE, !this.foot.hidden && foot];
    const height = this.element.hidden ? 0 : FRAME + parts.reduce((sum, part) => sum + (part || 0), 0);
    if (height === this.height) return;
    this.height = height;
    this.resized();
  }
}

function linesOf(text) {
  return Math.min(8, Math.ceil(text.length / CHARACTERS));
}

function entry(i) {
  const { name, colour } = TERMS[i];
  const item = made("span");
  item.textContent = name;
  item.style.color = colour;
  return item;
}

function made(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}
