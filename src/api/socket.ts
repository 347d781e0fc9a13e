/**
 * The Unix socket of the API: where it may be, and how it is taken without trusting what already stands there. File
 * permissions are its lock: 0660, group `weir` where that group exists.
 */
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import type { Server } from "node:http";
import { dirname, join } from "node:path";

type Env = Readonly<Record<string, string | undefined>>;

const SYSTEM_SOCKET = "/run/weir/weir.sock";
/** sockaddr_un.sun_path, unix(7): 108 bytes with the closing zero. */
const MAX_PATH = 107;

/** Where a running switch is looked for when nobody says where, in order. */
export function socketPlaces(env: Env, uid: number): string[] {
  const places = [SYSTEM_SOCKET];
  if (env.XDG_RUNTIME_DIR) places.push(join(env.XDG_RUNTIME_DIR, "weir/weir.sock"));
  places.push(`/tmp/weir-${uid}/weir.sock`);
  return places;
}

/**
 * A directory below /tmp can be made by anybody before us, with a socket in it that answers in our name: only one of
 * our own (or root's) is trusted. Undefined: fine; else the sentence that says why not.
 */
export function distrust(path: string, uid: number): string | undefined {
  const folder = dirname(path);
  if (!folder.startsWith("/tmp/") || !existsSync(folder)) return undefined;
  const info = lstatSync(folder);
  if (!info.isDirectory()) return `${folder} is not a directory`;
  if (info.uid !== uid && info.uid !== 0) return `${folder} belongs to user ${info.uid}, not to you`;
  if ((info.mode & 0o022) !== 0) return `${folder} can be written by others: chmod 700 ${folder}`;
  return undefined;
}

function groupId(name: string): number | undefined {
  try {
    const line = readFileSync("/etc/group", "utf8")
      .split("\n")
      .find((entry) => entry.startsWith(`${name}:`));
    const id = Number(line?.split(":")[2]);
    return line !== undefined && Number.isInteger(id) ? id : undefined;
  } catch {
    return undefined;
  }
}

/** True when somebody accepts on the socket. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => (probe.destroy(), resolve(true)));
    probe.once("error", () => resolve(false));
  });
}

async function clearStale(path: string): Promise<void> {
  if (!existsSync(path)) return;
  if (!lstatSync(path).isSocket()) throw new Error(`${path} exists and is not a socket; move it away`);
  if (await answers(path)) throw new Error(`another switch answers on ${path}; stop it, or set api.socket`);
  unlinkSync(path);
}

/** Bind and listen. Throws an Error that names the path and the fix. */
export async function listenOnSocket(server: Server, path: string, uid: number): Promise<void> {
  if (Buffer.byteLength(path) > MAX_PATH)
    throw new Error(`${path} is longer than ${MAX_PATH} bytes; set api.socket to a shorter path`);
  mkdirSync(dirname(path), { recursive: true, mode: path.startsWith("/tmp/") ? 0o700 : 0o755 });
  const why = distrust(path, uid);
  if (why !== undefined) throw new Error(`no socket at ${path}: ${why}`);
  await clearStale(path);
  // 0660 from the moment of bind, not a moment later.
  const before = process.umask(0o117);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, () => (server.off("error", reject), resolve()));
    });
  } finally {
    process.umask(before);
  }
  chmodSync(path, 0o660);
  const group = uid === 0 ? groupId("weir") : undefined;
  if (group !== undefined) chownSync(path, uid, group);
}
