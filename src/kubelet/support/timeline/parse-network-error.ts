/** Whose words a runtime passes on when a sandbox's network fails: told from its text where it can be. Pure. */

export interface NetworkError {
  /** `network plugin "bridge"`, or `network (CNI)` when the text does not say which. */
  by: string;
  /** What it said, without the runtime's wrapping. */
  words: string;
}

/** What runtimes put around it: containerd, CRI-O, cri-dockerd; adding and removing. */
const wrappings = [
  /failed to (?:setup|set up|destroy|teardown) network for sandbox "?[^":]*"?: /,
  /failed to create pod network sandbox [^:]*: /,
  /(?:failed|unable) to (?:set up|teardown) pod "[^"]*" network: /,
  /error (?:adding|removing) pod \S+ (?:to|from) CNI network "[^"]*": /,
  /NetworkPlugin cni failed to (?:set up|teardown) pod "[^"]*" network: /,
];
/** How the CNI library names the plugin that failed. */
const pluginFailed = /plugin type="([^"]*)" (?:name="[^"]*" )?failed \((?:add|delete|check)\): /;
const pluginMissing = /failed to find plugin "([^"]*)" in path/;
/** Said by the runtime or the library itself when there is no network to ask. */
const ownWords = /cni plugin not initialized|cni config (?:un)?initialized|no networks found in|netplugin failed/;

/** Undefined for what is not about the network. */
export function parseNetworkError(text: string): NetworkError | undefined {
  let words = text;
  let isNetwork = ownWords.test(text);
  for (const wrapping of wrappings) {
    const match = wrapping.exec(words);
    if (match === null) continue;
    isNetwork = true;
    words = words.slice(match.index + match[0].length);
  }
  const failed = pluginFailed.exec(words);
  if (failed !== null) {
    return { by: `network plugin "${failed[1] ?? ''}"`, words: words.slice(failed.index + failed[0].length) };
  }
  const missing = pluginMissing.exec(words);
  if (missing !== null) return { by: 'network (CNI)', words: words.slice(missing.index) };
  if (!isNetwork) return undefined;
  return { by: 'network (CNI)', words: words.replace(/^rpc error: code = \w+ desc = /, '') };
}
