// The word auto in place of -1. In the classic renderer alone: the numbers of Nodes 2.0 cannot be made to read otherwise,
// so that labels say what -1 means as well.
import { app } from "../../scripts/app.js";
import { isOurs } from "./ours.js";

const AUTO = -1; // the least value of every number that can be left to the preset

function readsAuto(widget) {
  const shown = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(widget), "_displayValue")?.get;
  if (!shown) return; // this front end draws numbers in another way
  Object.defineProperty(widget, "_displayValue", {
    configurable: true,
    get() {
      return Number(this.value) === AUTO ? "auto" : shown.call(this);
    },
  });
}

app.registerExtension({
  name: "NST.Auto",
  nodeCreated(node) {
    if (!isOurs(node)) return;
    for (const widget of node.widgets ?? []) {
      if (widget.type === "number" && widget.options?.min === AUTO) readsAuto(widget);
    }
  },
});
