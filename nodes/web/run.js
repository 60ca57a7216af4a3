// What is known of one run of one node. Panels listen; a panel that comes later finds everything here.
import { Series } from "./series.js";

const MOST_PICTURES = 48;
const MOST_POINTS = 1000;

export class Run extends EventTarget {
  // `workflow` is the one that was open on the canvas when the run began: others may have nodes of the same id.
  constructor(prompt, node, workflow) {
    super();
    this.prompt = prompt;
    this.node = node; // "12", or "12:7" inside a subgraph
    this.workflow = workflow;
    this.state = "running"; // then "done", "failed" or "stopped"
    this.text = "";
    this.error = "";
    this.steps = 0;
    this.finishing = false;
    this.begin(0);
  }

  // A picture of a batch: the curve and what is looked back at are those of one.
  begin(picture) {
    this.picture = picture;
    this.taken = new Series(MOST_POINTS);
    this.shown = new Series(MOST_PICTURES);
  }

  get points() {
    return this.taken.items;
  }

  // { step, source }, the newest last.
  get pictures() {
    return this.shown.items;
  }

  take({ text, state, points = [], image, image_step, steps, picture }) {
    if (picture !== undefined && picture !== this.picture) this.begin(picture);
    this.text = text ?? this.text;
    this.state = state ?? this.state;
    this.steps = steps ?? this.steps;
    for (const point of points) this.taken.push(point);
    if (image) this.shown.push({ step: image_step, source: image });
    this.changed();
  }

  fail(error) {
    if (this.state !== "running") return;
    this.state = "failed";
    this.error = error;
    this.changed();
  }

  stop(text) {
    if (this.state !== "running") return;
    this.state = "stopped";
    this.text = text;
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}
