/** Packets over TCP: each with its length, of two bytes, before it. */

export function frame(packet: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(packet.length + 2);
  framed.writeUInt16BE(packet.length, 0);
  packet.copy(framed, 2);
  return framed;
}

/** Puts packets together from pieces of any size; holds at most one that is not whole. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The packets that are whole now. */
  read(chunk: Buffer): Buffer[] {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const packets: Buffer[] = [];
    while (data.length >= 2) {
      const end = 2 + data.readUInt16BE(0);
      if (data.length < end) break;
      packets.push(data.subarray(2, end));
      data = data.subarray(end);
    }
    this.#rest = Buffer.from(data); // a copy: what is kept should not keep the whole chunk
    return packets;
  }

  /** Whether a packet has begun that is not whole yet. */
  get isInside(): boolean {
    return this.#rest.length > 0;
  }
}
