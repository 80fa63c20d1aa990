// An answer that grows, as Markdown. Only what may still change is rendered again: the blocks at the end. So an answer
// costs what its length says, not the square of it.
import {codeBlock, growCodeBlock, settleCodeBlock} from "./code_block.js";
import {blockElements, blocksOf} from "./markdown.js";

// The last blocks that more text may join or change: a list goes on after an empty line, a paragraph becomes a heading.
// Empty lines count as blocks.
const OPEN_BLOCKS = 4;

export class StreamingMarkdown {
  #element;
  #settled = [];      // the raw text of blocks that are final
  #settledChars = 0;  // their length
  #open = [];         // {raw, nodes, growing} of the others; growing: a code block that is extended in place

  constructor(element) { this.#element = element; }

  /// text is everything so far and begins with what it was before. last: no more will come.
  update(text, last = false) {
    const blocks = blocksOf(text.slice(this.#settledChars));
    blocks.forEach((block, i) => this.#show(block, i, !last && i === blocks.length - 1));
    this.#dropFrom(blocks.length);
    while (this.#open.length > (last ? 0 : OPEN_BLOCKS)) {
      const {raw} = this.#open.shift();
      this.#settled.push(raw);
      this.#settledChars += raw.length;
    }
    if (last) this.#makeAnewIfOtherwise(text);
  }

  #show(block, i, growing) {
    const shown = this.#open[i];
    if (shown?.growing && block.type === "code" && (block.lang ?? "") === shown.growing.lang) {
      growCodeBlock(shown.growing.element, block.text);
      shown.raw = block.raw;
      if (growing) return;
      settleCodeBlock(shown.growing.element);
      shown.growing = null;
      return;
    }
    if (shown && shown.raw === block.raw && !shown.growing) return;
    this.#dropFrom(i);
    this.#open.push(growing && block.type === "code" ? this.#growingCode(block) : this.#whole(block));
  }

  #whole(block) {
    const fragment = blockElements([block]);
    const nodes = [...fragment.childNodes];
    this.#element.append(fragment);
    return {raw: block.raw, nodes, growing: null};
  }

  #growingCode(block) {
    const lang = block.lang ?? "";
    const element = codeBlock(block.text, lang.split(/\s/)[0], true);
    this.#element.append(element);
    return {raw: block.raw, nodes: [element], growing: {element, lang}};
  }

  #dropFrom(i) {
    for (const {nodes} of this.#open.splice(i))
      for (const node of nodes) node.remove();
  }

  /// Where reading everything at once gives other blocks (a link that was defined at the end), it is all shown anew.
  #makeAnewIfOtherwise(text) {
    const blocks = blocksOf(text);
    const same = blocks.length === this.#settled.length && blocks.every((b, i) => b.raw === this.#settled[i]);
    if (!same || Object.keys(blocks.links ?? {}).length > 0) this.#element.replaceChildren(blockElements(blocks));
  }
}
