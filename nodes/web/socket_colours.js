// Colours for the sockets and wires of this pack's own types, in both renderers.
import { app } from "../../scripts/app.js";

const COLOURS = {
  VGG_FEATURES: "#4db6ac",
  STYLE_GRAMS: "#f06292",
  LAYER_WEIGHTS: "#c0ca33",
  LOSS_HISTORY: "#a1887f",
  NST_METHOD: "#90a4ae",
};

// A palette that is loaded sets every type that it does not know to "". So the table is asked through an accessor,
// which gives our colour in place of an empty one; a palette that names a colour for a type of ours has its way.
function colour(table, type) {
  let chosen = table[type];
  Object.defineProperty(table, type, {
    get: () => chosen || COLOURS[type],
    set: (value) => (chosen = value),
    enumerable: true,
    configurable: true,
  });
}

app.registerExtension({
  name: "NST.SocketColours",
  setup() {
    for (const type of Object.keys(COLOURS)) {
      colour(app.canvas.default_connection_color_byType, type); // sockets
      colour(app.canvas.constructor.link_type_colors, type); // wires
    }
    // Nodes 2.0 reads variables, which palettes set on the root element itself and so before this rule.
    const style = document.createElement("style");
    const rules = Object.entries(COLOURS).map(([type, value]) => `--color-datatype-${type}: ${value};`);
    style.textContent = `:root { ${rules.join(" ")} }`;
    document.head.append(style);
    app.canvas.setDirty(true, true);
  },
});
