// Runs on the canvas: a panel on the node that is at work, and on the subgraphs that it lies in; errors on the node;
// finish now, keep the picture. Nothing here is needed for a run.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { isOurs } from "./ours.js";
import { MARGIN, Panel, addStyle, heightOfWords } from "./panel.js";
import { Run } from "./run.js";

const WIDGET = "nst_live";
const HOSTS_WORDS = "$$node-text-preview"; // the widget for the server's progress text
const HOSTS_PICTURE = "$$canvas-image-preview"; // and the one for its previews
const AFTERWARDS = 1000; // milliseconds, until the host has done the same
const LONG_ENOUGH = 20000; // to read an error
const MOST_RUNS = 16;

let runs = []; // the last of every node, the latest last
let opens = 0; // a timer, while a workflow is being opened
const panels = new WeakMap(); // by node

// --- nodes --------------------------------------------------------------------------------------------------------

// The node with an id like "12:7", and the subgraphs that it lies in; none if this is another workflow's.
function nodesOf(id) {
  const found = [];
  let graph = app.rootGraph ?? app.graph;
  for (const part of String(id).split(":")) {
    const node = graph?.getNodeById(part) ?? graph?.getNodeById(Number(part));
    if (!node) return [];
    found.push(node);
    graph = node.subgraph;
  }
  return isOurs(found.at(-1)) ? found : [];
}

function panelOf(node) {
  if (!panels.has(node)) panels.set(node, addPanel(node));
  return panels.get(node);
}

function addPanel(node) {
  const isSaid = () => {
    const words = widgetOf(node, HOSTS_WORDS);
    fitWords(node, words);
    return Boolean(words?.value);
  };
  const panel = new Panel({ finish, resized: () => fit(node), isSaid });
  const height = () => panel.height;
  // What room is left on a node of the classic renderer is for the host's preview, or else for this one's.
  const mostHeight = () => (panel.hasViews && !widgetOf(node, HOSTS_PICTURE) ? undefined : panel.height);
  // A widget like any other, but for what is saved: that has to stay as it is without this script.
  const widget = node.addDOMWidget(WIDGET, "nst_live", panel.element, {
    serialize: false,
    hideOnZoom: false,
    margin: MARGIN,
    getMinHeight: height,
    getMaxHeight: mostHeight,
    getHeight: height,
    getValue: () => "",
    setValue: () => {},
  });
  widget.serialize = false;
  const { onRemoved } = node;
  node.onRemoved = function (...given) {
    panel.dispose();
    panels.delete(node);
    node.onRemoved = onRemoved;
    return onRemoved?.apply(this, given);
  };
  return panel;
}

function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

// The words stand above the panel, which may have come first where a tab was come back to. The classic renderer would
// give them half of the room that is left, and the panel would hang below a gap.
function fitWords(node, words) {
  if (!words?.options) return;
  const { widgets } = node;
  const [own, said] = [widgets.indexOf(widgetOf(node, WIDGET)), widgets.indexOf(words)];
  if (own >= 0 && own < said) widgets.splice(own, 0, ...widgets.splice(said, 1));
  const height = () => heightOfWords(String(words.value ?? ""), node.size[0]);
  words.options.getMinHeight = words.options.getMaxHeight = height;
}

// Room for a panel whose height has changed; a node that the user has made larger stays so.
function fit(node) {
  const panel = panels.get(node);
  panel.element.style.minHeight = `${Math.max(0, panel.height - 2 * MARGIN)}px`; // Nodes 2.0 asks the element
  const [width, height] = node.size;
  const least = node.computeSize();
  node.setSize([Math.max(width, least[0]), Math.max(height, least[1])]);
  node.setDirtyCanvas(true, true);
}

// --- runs ---------------------------------------------------------------------------------------------------------

// Which of the front end's tabs is open; each has nodes of its own, and their ids may be the same.
function openWorkflow() {
  return app.extensionManager?.workflow?.activeWorkflow;
}

function runOf(prompt, node) {
  const known = runs.find((run) => run.prompt === prompt && run.node === node);
  return known ?? begin(new Run(prompt, node, openWorkflow()));
}

function begin(run) {
  const others = runs.filter((other) => other.node !== run.node || other.workflow !== run.workflow);
  runs = [...others, run].slice(-MOST_RUNS);
  return run;
}

function show(run) {
  if (opens || run.workflow !== openWorkflow()) return;
  for (const node of nodesOf(run.node)) panelOf(node).show(run);
}

// Nodes are made anew whenever a tab is come back to, or a change is undone. Front ends first put them on the canvas and
// then say which tab is open; older ones do not say when they have done so.
function opening() {
  clearTimeout(opens);
  opens = setTimeout(opened, AFTERWARDS);
}

function opened() {
  clearTimeout(opens);
  opens = 0;
  runs.forEach(show);
}

function onLive({ detail }) {
  const run = runOf(detail.prompt_id, detail.node_id);
  run.take(detail);
  show(run);
}

// Newer front ends take the words off the node when the prompt has ended; then the panel says them.
function onEnd({ detail }) {
  const ended = runs.filter((run) => run.prompt === detail.prompt_id);
  setTimeout(() => ended.forEach((run) => run.changed()), AFTERWARDS);
}

function onError({ detail }) {
  const nodes = nodesOf(detail.node_id);
  if (!nodes.length) return;
  const run = runOf(detail.prompt_id, String(detail.node_id));
  run.fail(detail.exception_message.trim());
  show(run);
  setTimeout(() => sayElsewhere(run, nodes), AFTERWARDS);
}

// The host's report begins with words of its own. Where the node is out of sight, the sentence is said beside them.
function sayElsewhere(run, nodes) {
  if (!run.error || nodes.some((node) => panels.get(node)?.inView())) return;
  const message = { severity: "error", summary: nodes.at(-1).title, detail: run.error, life: LONG_ENOUGH };
  app.extensionManager?.toast?.add(message);
}

// A cancel is of the whole prompt.
function onInterrupted({ detail }) {
  for (const run of runs) if (run.prompt === detail.prompt_id) run.stop("Cancelled");
}

// What the host refuses before anything runs has no event of its own: it is in a table, a moment after the attempt.
function sayRefusals() {
  for (const [id, { errors }] of Object.entries(app.lastNodeErrors ?? {})) {
    if (!nodesOf(id).length) continue;
    const run = runs.findLast((other) => other.node === id && other.workflow === openWorkflow()) ?? refused(id);
    run.error = [...new Set(errors.map(sentenceOf))].join("\n");
    run.changed();
    show(run);
  }
}

function refused(id) {
  const run = begin(new Run("", id, openWorkflow()));
  run.state = "failed";
  return run;
}

// The host puts the input's name before what a node says itself, and says of its own checks only what is wrong.
function sentenceOf({ type, message, details, extra_info }) {
  const name = extra_info?.input_name ?? details;
  return type === "custom_validation_failed" ? details.replace(`${name} - `, "") : `${name}: ${message}`;
}

// Whatever went wrong before is being tried again, even if the host then refuses the prompt, with words of its own.
function onTry({ detail }) {
  for (const run of runs) {
    if (run.error && run.prompt !== detail?.prompt_id) {
      run.error = "";
      run.changed();
    }
  }
  if (!detail?.prompt_id) setTimeout(sayRefusals, AFTERWARDS);
}

// --- finish now, keep the picture ---------------------------------------------------------------------------------

async function finish(run) {
  run.finishing = true;
  run.changed();
  const answer = await api.fetchApi("/nst/finish", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ prompt_id: run.prompt, node_id: run.node }),
  });
  if (answer.ok) return;
  run.finishing = false; // it has ended by itself
  run.changed();
}

// The run of a node that is selected, else the one that is at work.
function runToFinish() {
  const atWork = runs.filter((run) => run.state === "running");
  const selected = new Set(Object.values(app.canvas.selected_nodes ?? {}));
  return atWork.find((run) => nodesOf(run.node).some((node) => selected.has(node))) ?? atWork.at(-1);
}

app.registerExtension({
  name: "NST.Live",
  commands: [
    {
      id: "NST.FinishNow",
      label: "Finish the style transfer now and keep its picture",
      function: () => {
        const run = runToFinish();
        if (run) return finish(run);
      },
    },
  ],
  keybindings: [{ combo: { key: "Enter", alt: true, shift: true }, commandId: "NST.FinishNow" }],
  beforeConfigureGraph: opening,
  afterConfigureGraph: opening,
  afterLoadGraph: opened,
  setup() {
    addStyle();
    api.addEventListener("nst.live", onLive);
    for (const attempt of ["promptQueueing", "execution_start"]) api.addEventListener(attempt, onTry);
    for (const end of ["success", "error", "interrupted"]) api.addEventListener(`execution_${end}`, onEnd);
    api.addEventListener("execution_error", onError);
    api.addEventListener("execution_interrupted", onInterrupted);
  },
});
