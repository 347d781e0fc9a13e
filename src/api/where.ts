/** `?where=` on lists. */
import { Problem } from "./problem.ts";

export function compileWhere(_where: string): (item: unknown) => boolean {
  throw new Problem(501, "where: not on this list");
}
