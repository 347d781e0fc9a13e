/** What a configuration may leave to the host it is read on. */
import type * as z from "zod";

export interface HostDefaults {
  /** Host name. */
  readonly name: string;
  readonly stateDir: string;
  /** The API's socket. */
  readonly socket: string;
}

/** Where things are kept: below /var/lib and /run as root, in the user's own places otherwise. */
export function hostDefaults(host: {
  readonly name: string;
  readonly uid: number;
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}): HostDefaults {
  if (host.uid === 0) return { name: host.name, stateDir: "/var/lib/weir", socket: "/run/weir/weir.sock" };
  const { XDG_STATE_HOME: state, XDG_RUNTIME_DIR: runtime } = host.env;
  return {
    name: host.name,
    stateDir: `${state?.startsWith("/") ? state : `${host.home}/.local/state`}/weir`,
    socket: runtime?.startsWith("/") ? `${runtime}/weir/weir.sock` : `/tmp/weir-${host.uid}/weir.sock`,
  };
}

/** sun_path of unix(7) holds 108 bytes with the terminating zero. */
const MAX_SOCKET_PATH = 107;

export const unixSocketPath = <T extends z.ZodString>(path: T) =>
  path.refine((value) => Buffer.byteLength(value) <= MAX_SOCKET_PATH, {
    error: `a socket's path has at most ${MAX_SOCKET_PATH} bytes`,
  });
