/** Maps, programs and links of the kernel, by who holds them. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** Kernel objects that descriptors of a process hold: "map 17", "prog 4", "link 9". */
export function bpfObjects(pid: number | "self" = "self"): Set<string> {
  const found = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    let text = "";
    try {
      text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8");
    } catch {
      // The descriptor by which the folder was read.
    }
    const isLink = /^link_id:/m.test(text);
    for (const [, kind, id] of text.matchAll(/^(map|prog|link)_id:\s*(\d+)$/gm))
      if (!isLink || kind === "link") found.add(`${kind} ${id}`);
  }
  return found;
}

/** Does bpftool show it? */
export function isThere(object: string): boolean {
  const [kind, id] = object.split(" ") as [string, string];
  return spawnSync("bpftool", [kind, "show", "id", id]).status === 0;
}
