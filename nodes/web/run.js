// What is known of one run of one node. Panels listen; a panel that comes later finds everything here.

const MOST_PICTURES = 48;
const MOST_POINTS = 1000;

export class Run extends EventTarget {
  constructor(prompt, node) {
    super();
    this.prompt = prompt;
    this.node = node; // "12", or "12:7" inside a subgraph
    this.state = "running"; // then "done", "failed" or "stopped"
    this.text = "";
    this.error = "";
    this.steps = 0;
    this.picture = 0; // of a batch
    this.points = [];
    this.pictures = []; // { step, source }
    this.finishing = false;
  }

  take({ text, state, points = [], image, image_step, steps, picture }) {
    if (picture !== undefined && picture !== this.picture) {
      this.picture = picture;
      this.points = [];
      this.pictures = [];
    }
    this.text = text ?? this.text;
    this.state = state ?? this.state;
    this.steps = steps ?? this.steps;
    this.points.push(...points);
    if (image) this.pictures.push({ step: image_step, source: image });
    this.points = thinned(this.points, MOST_POINTS);
    this.pictures = thinned(this.pictures, MOST_PICTURES);
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

// Every other one is dropped when there are too many; the first and the last stay.
function thinned(list, most) {
  return list.length <= most ? list : list.filter((_, i) => i % 2 === 0 || i === list.length - 1);
}
