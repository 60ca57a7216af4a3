// The loss curve of the live panel: the total and the terms that it is made of, on a logarithmic scale.

// In the order of the numbers in a point: [step, total, content, style, smoothing, steadiness].
export const TERMS = [
  { name: "total", colour: "currentColor" },
  { name: "content", colour: "#3d82c4" },
  { name: "style", colour: "#d94a7a" },
  { name: "smoothing", colour: "#5f8f3c" },
  { name: "steadiness", colour: "#b8762a" },
];

// Which terms of these points are more than nothing.
export function termsIn(points) {
  return TERMS.map((_, i) => i).filter((i) => points.some((point) => point[i + 1] > 0));
}

// Draws into a canvas as large as it is shown, from the first step to the latest. `marked` is the step that is looked
// at, if any.
export function drawCurve(canvas, points, marked) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width || !height) return;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const ink = getComputedStyle(canvas).color;
  const values = points.flatMap((point) => point.slice(1).filter((value) => value > 0));
  if (!values.length) return;
  const [low, high] = range(points, values);
  const [first, last] = [points[0][0], points.at(-1)[0]];
  const x = (step) => 1 + ((width - 2) * (step - first)) / Math.max(1, last - first);
  const y = (value) => 2 + (height - 4) * (1 - (Math.log(value) - low) / (high - low));

  if (marked !== undefined) line(context, ink, 0.35, [[x(marked), 0], [x(marked), height]]);
  for (const i of termsIn(points).reverse()) {
    const colour = TERMS[i].colour === "currentColor" ? ink : TERMS[i].colour;
    const drawn = points.filter((point) => point[i + 1] > 0);
    line(context, colour, 1, drawn.map((point) => [x(point[0]), Math.min(height - 1, y(point[i + 1]))]), i ? 1 : 1.5);
  }
}

// A term that is next to nothing is let run along the bottom rather than press the others together.
function range(points, values) {
  const totals = points.map((point) => point[1]).filter((value) => value > 0);
  const high = Math.log(Math.max(...values));
  const low = Math.log(Math.max(Math.min(...values), (totals.length ? Math.min(...totals) : 0) / 30));
  return high - low < 0.1 ? [low - 0.05, high + 0.05] : [low, high];
}

function line(context, colour, alpha, dots, width = 1) {
  context.beginPath();
  dots.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  if (dots.length === 1) context.lineTo(dots[0][0] + 1, dots[0][1]);
  context.globalAlpha = alpha;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}
