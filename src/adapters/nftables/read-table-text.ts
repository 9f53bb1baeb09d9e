/** What `nft list table` prints, told line by line, so that a large table is never held. Pure. */

export interface TableSink {
  /** One element, `key` or `key : value`, as the tool prints it. */
  onElement(set: string, element: string): void;
  onRule(chain: string, rule: string): void;
  onChain(chain: string): void;
}

/** Numbers that the tool prints where the machine has no list of protocols. */
const protocolNames: Readonly<Record<string, string>> = { '6': 'tcp', '17': 'udp', '132': 'sctp' };

export class TableTextReader {
  readonly #sink: TableSink;
  #rest = '';
  #chain = '';
  #set = '';
  #isInElements = false;

  constructor(sink: TableSink) {
    this.#sink = sink;
  }

  /** Takes the next piece of text, cut anywhere. */
  push(piece: string): void {
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line.trim());
  }

  #line(line: string): void {
    if (this.#isInElements) return this.#elements(line);
    if (line === '' || line.startsWith('comment ') || line.startsWith('table ')) return;
    if (line === '}') {
      this.#chain = '';
      this.#set = '';
      return;
    }
    const opening = /^(chain|set|map) (\S+) \{$/.exec(line);
    if (opening !== null) {
      const [, kind, name = ''] = opening;
      if (kind === 'chain') {
        this.#chain = name;
        this.#sink.onChain(name);
      } else this.#set = name;
      return;
    }
    if (this.#chain !== '') {
      if (!line.startsWith('type ')) this.#sink.onRule(this.#chain, line);
    } else if (line.startsWith('elements = { ')) {
      this.#isInElements = true;
      this.#elements(line.slice('elements = { '.length));
    }
  }

  /** Elements are set apart by commas, within a line and at its end; the last one is followed by a brace. */
  #elements(line: string): void {
    let text = line;
    if (text.endsWith('}')) {
      this.#isInElements = false;
      text = text.slice(0, -1).trimEnd();
    } else if (text.endsWith(',')) text = text.slice(0, -1);
    if (text === '') return;
    for (const element of text.split(', ')) this.#sink.onElement(this.#set, element);
  }
}

/**
 * An element of a set with protocols as we write it: protocols by name. The protocol is the first field that is no
 * address; a port after it may be the same number.
 */
export function withProtocolName(element: string): string {
  return element.replace(/^((?:\S*[.:]\S* \. )*)(6|17|132)(?= \. )/, (_, before: string, number: string) => {
    return `${before}${protocolNames[number] ?? number}`;
  });
}
