/** libpcap's compiler: the language of tcpdump's expressions (pcap-filter(7)) to classic BPF. */
import { loadLibrary, viewMemory, type NativeLibrary } from "./native.ts";

const DLT_EN10MB = 1;
const SNAPLEN = 262_144;
const NETMASK_UNKNOWN = 0xffffffff;
const INSTRUCTION_BYTES = 8;
/** Longer ones are no help to anybody, and the compiler's stack is ours. */
const MAX_EXPRESSION = 4096;
const MAX_NESTING = 128;

let library: NativeLibrary | undefined;

/** Throws an Error that says what is wrong with the expression, or which package is missing. Four words an instruction. */
export function compileFilter(expression: string, most = MAX_EXPRESSION): Int32Array {
  if (expression.length > most) throw new Error(`a filter has at most ${most} characters`);
  if (/\0/.test(expression)) throw new Error("a filter is text");
  if (expression.split("(").length > MAX_NESTING && most < Infinity)
    throw new Error(`a filter has at most ${MAX_NESTING} parentheses`);
  library ??= loadLibrary("libpcap.so.0.8", "libpcap0.8");
  const openDead = library.func("uintptr_t pcap_open_dead(int, int)");
  const compile = library.func("int pcap_compile(uintptr_t, void *, const char *, int, uint32_t)");
  const error = library.func("const char *pcap_geterr(uintptr_t)") as unknown as (handle: number) => string;
  const free = library.func("void pcap_freecode(void *)");
  const close = library.func("void pcap_close(uintptr_t)");
  const handle = openDead(DLT_EN10MB, SNAPLEN);
  // struct bpf_program: count u32, padding, address of the instructions u64
  const program = new Uint32Array(4);
  try {
    if (compile(handle, program, expression, 1, NETMASK_UNKNOWN) !== 0) throw new Error(error(handle));
    const count = program[0]!;
    const code = new Uint32Array(viewMemory(program[3]! * 4294967296 + program[2]!, count * INSTRUCTION_BYTES));
    const out = new Int32Array(count * 4);
    for (let n = 0; n < count; n++) {
      const head = code[2 * n]!;
      out[4 * n] = head & 0xffff;
      out[4 * n + 1] = (head >>> 16) & 0xff;
      out[4 * n + 2] = head >>> 24;
      out[4 * n + 3] = code[2 * n + 1]!;
    }
    free(program);
    return out;
  } finally {
    close(handle);
  }
}

export interface FilterPair {
  readonly plain: Int32Array;
  readonly tagged: Int32Array;
}

/**
 * The filter as people mean it: by what a frame carries, whether it comes with a tag or without. One program for frames
 * without a tag, one for those with; an expression that speaks of VLANs itself is taken as it is. `but`: an expression of ours
 * for frames to be left out of one that compiles by itself; "": none.
 */
export function compileBoth(expression: string, but: string): FilterPair {
  const isEmpty = expression.trim() === "";
  const most = but === "" ? MAX_EXPRESSION : Infinity;
  const whole = but === "" ? expression : isEmpty ? `not (${but})` : `(${expression}) and not (${but})`;
  const plain = compileFilter(whole, most);
  if (/\b(vlan|mpls|pppoes|geneve)\b/i.test(expression)) return { plain, tagged: plain };
  return { plain, tagged: whole.trim() === "" ? plain : compileFilter(`vlan and (${whole})`, Infinity) };
}
