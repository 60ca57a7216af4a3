// Which nodes are this pack's.
const PACK = decodeURIComponent(new URL(".", import.meta.url).pathname.split("/").at(-2));

export function isOurs(node) {
  return node.constructor.nodeData?.python_module === `custom_nodes.${PACK}`;
}
