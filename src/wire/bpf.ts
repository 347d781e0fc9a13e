/**
 * Classic BPF (McCanne, Jacobson 1993; bpf(4)): the programs that libpcap makes of its filter language, run on a frame in
 * memory. No allocation. Loads past the end refuse the frame, as in the kernel. Jumps go forward only and are checked by
 * `isSound`, so a program ends after at most its own length of steps.
 */

/** Four words an instruction: code, jump if true, jump if false, k. */
export type BpfProgram = Int32Array;

const MEMORY_WORDS = 16;
const memory = new Int32Array(MEMORY_WORDS);

/** Every jump lands inside, every scratch word exists, and the last instruction returns. */
export function isSound(program: BpfProgram): boolean {
  const count = program.length >> 2;
  if (count === 0 || program.length % 4 !== 0 || (program[(count - 1) * 4]! & 7) !== 6) return false;
  for (let n = 0; n < count; n++) {
    const code = program[n * 4]!;
    const k = program[n * 4 + 3]!;
    const kind = code & 7;
    if (kind === 5) {
      const furthest = (code & 0xf0) === 0 ? k >>> 0 : Math.max(program[n * 4 + 1]!, program[n * 4 + 2]!);
      if (n + 1 + furthest >= count) return false;
    }
    const isScratch = kind === 2 || kind === 3 || (kind < 2 && (code & 0xe0) === 0x60);
    if (isScratch && k >>> 0 >= MEMORY_WORDS) return false;
  }
  return true;
}

/** How many bytes the program accepts, 0 = the frame is not wanted. `captured` bytes are there, `length` were on the wire. */
export function runBpf(program: BpfProgram, bytes: Uint8Array, off: number, captured: number, length: number): number {
  let a = 0;
  let x = 0;
  for (let at = 0; at < program.length; at += 4) {
    const code = program[at]!;
    const k = program[at + 3]!;
    switch (code & 7) {
      case 0: {
        const mode = code & 0xe0;
        if (mode === 0x00) a = k;
        else if (mode === 0x60) a = memory[k]!;
        else if (mode === 0x80) a = length;
        else {
          const place = mode === 0x40 ? (x >>> 0) + (k >>> 0) : k >>> 0;
          const size = code & 0x18;
          const width = size === 0 ? 4 : size === 8 ? 2 : 1;
          if (place + width > captured) return 0;
          const p = off + place;
          if (width === 4) a = (bytes[p]! << 24) | (bytes[p + 1]! << 16) | (bytes[p + 2]! << 8) | bytes[p + 3]!;
          else a = width === 2 ? (bytes[p]! << 8) | bytes[p + 1]! : bytes[p]!;
        }
        break;
      }
      case 1: {
        const mode = code & 0xe0;
        if (mode === 0x00) x = k;
        else if (mode === 0x60) x = memory[k]!;
        else if (mode === 0x80) x = length;
        else {
          if (k >>> 0 >= captured) return 0;
          x = (bytes[off + (k >>> 0)]! & 0x0f) << 2;
        }
        break;
      }
      case 2:
        memory[k] = a;
        break;
      case 3:
        memory[k] = x;
        break;
      case 4: {
        const operand = code & 8 ? x : k;
        switch (code & 0xf0) {
          case 0x00:
            a = (a + operand) | 0;
            break;
          case 0x10:
            a = (a - operand) | 0;
            break;
          case 0x20:
            a = Math.imul(a, operand);
            break;
          case 0x30:
            if (operand === 0) return 0;
            a = ((a >>> 0) / (operand >>> 0)) | 0;
            break;
          case 0x40:
            a |= operand;
            break;
          case 0x50:
            a &= operand;
            break;
          case 0x60:
            a = operand >>> 0 > 31 ? 0 : a << operand;
            break;
          case 0x70:
            a = operand >>> 0 > 31 ? 0 : a >>> operand;
            break;
          case 0x80:
            a = -a | 0;
            break;
          case 0x90:
            if (operand === 0) return 0;
            a = ((a >>> 0) % (operand >>> 0)) | 0;
            break;
          default:
            a ^= operand;
        }
        break;
      }
      case 5: {
        const operand = (code & 8 ? x : k) >>> 0;
        const value = a >>> 0;
        const jump = code & 0xf0;
        if (jump === 0) {
          at += (k >>> 0) * 4;
          break;
        }
        const isTrue =
          jump === 0x10
            ? value === operand
            : jump === 0x20
              ? value > operand
              : jump === 0x30
                ? value >= operand
                : (value & operand) !== 0;
        at += program[at + (isTrue ? 1 : 2)]! * 4;
        break;
      }
      case 6:
        return code & 0x10 ? a >>> 0 : k >>> 0;
      default:
        if ((code & 0xf8) === 0x80) a = x;
        else x = a;
    }
  }
  return 0;
}
